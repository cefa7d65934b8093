"""The edits that turn the npm package's `lean.js` into a host for one proof checker.

The script is Emscripten's glue around `lean.wasm`. As it comes it takes two minutes to start, cannot be spoken to
through a pipe, and mounts the host's `/home` and `/tmp`. Each edit names the text that it replaces; that text must
occur exactly once, so another build of the package is refused, never half edited. What the edits call is in `host.js`.
"""

import re
from pathlib import Path

from speciate.errors import LeanUnavailable

_HOST = Path(__file__).with_name("host.js")
SOURCES = (Path(__file__), _HOST)
"""What the edited script depends on."""

_EDITS = (
    # Threads copy all exports twice, and an export is found by a search through all.
    ('mergeLibSymbols(wasmExports,"main");', ""),
    ("updateGOT(origExports);", "placeExports(origExports);"),
    ("Object.keys(lib.exports).indexOf(symbol)", "lib.exports[symbol]===undefined?-1:0"),
    # Each thread in reserve instantiates all of Lean.
    ("var pthreadPoolSize=4", 'var pthreadPoolSize=process.env["LEAN_FROZEN"]?0:1'),
    (
        "if(ENVIRONMENT_IS_PTHREAD)return startWorker();",
        "if(ENVIRONMENT_IS_PTHREAD){mountInThread();startWorker();return}",
    ),
    # The main thread waits for a thread that is gone, without end.
    ('if(ex!="unwind"){throw ex}', 'if(ex!="unwind"){endWith(ex)}'),
    ('return locateFile("lean.wasm")', 'return process.env["LEAN_WASM"]'),
    # Lean looks for its own folder on the disk that it sees.
    ("if(isNode){path=__filename}else{", 'path="/library/lean";if(!isNode){'),
    ('process.binding("constants")', "{fs:fs.constants}"),
    ('var cp=require("child_process");', 'throw new Error("no processes");'),
    ("if(!ENVIRONMENT_IS_PTHREAD){createWasm();", "if(!ENVIRONMENT_IS_PTHREAD){begin();createWasm();"),
    ("if(!noInitialRun)callMain(args)", "if(!noInitialRun)runMain(args)"),
    ("return SYSCALLS.writeStat(buf,FS.stat(path))", "freezeAt(path);return SYSCALLS.writeStat(buf,FS.stat(path))"),
)

# From the first text to the end of the second, which is the first such after it.
_SPANS = (
    ("var FS_stdin_getChar=()=>{", "return FS_stdin_getChar_buffer.shift()};", "var FS_stdin_getChar=()=>inputByte();"),
    (
        'if(lean_path){ENV["LEAN_PATH"]=lean_path}FS.mount(',
        "FS.chdir(cwd)}else{",
        'ENV["LEAN_PATH"]="/library";if(!process.env["LEAN_FROZEN"])mountLibrary()}else{',
    ),
)

_PROXIED = re.compile(
    r"(function (?:___syscall_|_fd_|__mmap_js|__munmap_js|__msync_js)\w*\([^)]*\)\{)"
    r"if\(ENVIRONMENT_IS_PTHREAD\)return proxyToMainThread\([^)]*\);"
)
_PROXIED_COUNT = 58

_NAMES_OPEN = "};var _main,"
_EXPORTS_OPEN = "function assignWasmExports(wasmExports){"


def edited(script: str) -> str:
    """The script with all edits. Raises LeanUnavailable where one does not match exactly once."""
    script = _named_exports(script)
    for opening, closing, new in _SPANS:
        start = _only(script, opening)
        script = script[:start] + new + script[_index(script, closing, start) + len(closing) :]
    for old, new in _EDITS:
        start = _only(script, old)
        script = script[:start] + new + script[start + len(old) :]
    script, count = _PROXIED.subn(r"\1", script)
    if count != _PROXIED_COUNT:
        raise _other_build(f"{count} proxied file operations, not {_PROXIED_COUNT}")
    return script + "\n" + _HOST.read_text(encoding="utf-8")


def _named_exports(script: str) -> str:
    """The script without the exports that it never names: it declares and assigns 201,110, in 88 of its 89 MB."""
    names = _only(script, _NAMES_OPEN) + len("};var ")
    assign = _only(script, _EXPORTS_OPEN)
    body = assign + len(_EXPORTS_OPEN)
    end = _index(script, "}", body)
    head, declared, assigned, tail = script[:names], script[names:assign], script[body:end], script[end:]
    used = set(re.findall(r"[A-Za-z_$][\w$]*", head + tail))
    kept = [name for name in declared.rstrip(";").split(",") if name in used]
    statements = [statement for statement in assigned.split(";") if statement.split("=", 1)[0] in used]
    return head + ",".join(kept) + ";" + _EXPORTS_OPEN + ";".join(statements) + tail


def _only(script: str, text: str) -> int:
    """Where `text` begins; it occurs once."""
    if (count := script.count(text)) != 1:
        raise _other_build(f"{text[:60]!r} {count} times, not once")
    return script.index(text)


def _index(script: str, text: str, start: int) -> int:
    if (index := script.find(text, start)) < 0:
        raise _other_build(f"no {text[:60]!r} where it is expected")
    return index


def _other_build(difference: str) -> LeanUnavailable:
    return LeanUnavailable(
        f"lean.js of the npm package has {difference}: it is not the build that speciate knows. "
        "Remove the cache folder and run `speciate lean setup` again, or install a native Lean with elan."
    )
