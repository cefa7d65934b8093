"""The edits that turn the npm package's `lean.js` into a host for one proof checker.

The script is Emscripten's glue around `lean.wasm`. As it comes it takes two minutes to start, cannot be spoken to
through a pipe, and mounts the host's `/home` and `/tmp`. Each edit names the text that it replaces; that text must
occur exactly once, so another build of the package is refused, never half edited. Pure: text in, text out.
"""

import re

from speciate.errors import LeanUnavailable

# The 201,110 exports are declared and assigned one by one (88 of 89 MB): those that the script itself names are kept.
_EXPORTS_OPEN = "function assignWasmExports(wasmExports){"
_NAMES_OPEN = "};var _main,"

# Symbols are looked up by a linear search over all exports.
_LINEAR_SEARCH = "Object.keys(lib.exports).indexOf(symbol)"
_INDEXED_SEARCH = "((lib.index??=new Map(Object.keys(lib.exports).map((k,i)=>[k,i]))).get(symbol)??-1)"

# Standard input is read 256 bytes at a time, which splits UTF-8, and blocks after the line that it already has.
_STDIN_OPEN = "var FS_stdin_getChar=()=>{"
_STDIN_CLOSE = "return FS_stdin_getChar_buffer.shift()};"
_STDIN = (
    "var stdinBytes=null,stdinAt=0,stdinEnd=0,lineEnded=false;var FS_stdin_getChar=()=>{"
    "if(lineEnded){lineEnded=false;return null}"
    "if(stdinAt===stdinEnd){stdinBytes??=Buffer.alloc(65536);stdinAt=0;"
    "stdinEnd=fs.readSync(0,stdinBytes,0,65536,null);if(stdinEnd===0)return null}"
    "var c=stdinBytes[stdinAt++];lineEnded=c===10;return c};"
)

# The host's folders give way to a copy-on-read, read-only view of the library, and to the checker's text.
_MOUNTS_OPEN = 'if(lean_path){ENV["LEAN_PATH"]=lean_path}'
_MOUNTS_CLOSE = "FS.chdir(cwd)}else{"
_LIBRARY = (
    'ENV["LEAN_PATH"]="/library";console.log=()=>{};'
    'FS.writeFile("/checker.lean",fs.readFileSync(process.env["LEAN_CHECKER"]));'
    "var held=null,heldBytes=null;"
    "for(let entry of fs.readdirSync(lean_path,{recursive:true,withFileTypes:true})){"
    'if(!entry.isFile())continue;let host=entry.parentPath+"/"+entry.name;'
    'let folder="/library"+entry.parentPath.slice(lean_path.length);FS.mkdirTree(folder);'
    "let node=FS.createDataFile(folder,entry.name,new Uint8Array(0),true,false)"
    '??FS.lookupPath(folder+"/"+entry.name).node;node.usedBytes=fs.statSync(host).size;'
    'Object.defineProperty(node,"contents",{set(){},get(){'
    "if(held!==host){held=host;heldBytes=fs.readFileSync(host)}return heldBytes}})}"
    'FS.chdir("/")}else{'
)

_REPLACED = (
    (_LINEAR_SEARCH, _INDEXED_SEARCH),
    # Each further worker instantiates all of Lean once more.
    ("var pthreadPoolSize=4", "var pthreadPoolSize=1"),
    # Lean looks for its own folder on the disk that it sees.
    ("if(isNode){path=__filename}else{", 'path="/library/lean";if(!isNode){'),
    ('var cp=require("child_process");', 'throw new Error("no processes");'),
)


def edited(script: str) -> str:
    """The script with all edits. Raises LeanUnavailable where one does not match exactly once."""
    script = _exports_that_are_named(script)
    script = _between(script, _STDIN_OPEN, _STDIN_CLOSE, _STDIN)
    script = _between(script, _MOUNTS_OPEN, _MOUNTS_CLOSE, _LIBRARY)
    for old, new in _REPLACED:
        _only(script, old)
        script = script.replace(old, new)
    return script


def _only(script: str, text: str) -> int:
    """Where `text` begins; it occurs once."""
    if (count := script.count(text)) != 1:
        raise LeanUnavailable(
            f"lean.js is not the build that speciate knows: {text[:60]!r} occurs {count} times in it, not once. "
            "Remove the cache folder and run `speciate lean setup`, or install a native Lean with elan."
        )
    return script.index(text)


def _between(script: str, opening: str, closing: str, new: str) -> str:
    start = _only(script, opening)
    end = script.find(closing, start)
    if end < 0:
        _only(script, closing)
    return script[:start] + new + script[end + len(closing) :]


def _exports_that_are_named(script: str) -> str:
    function = _only(script, _EXPORTS_OPEN)
    body = function + len(_EXPORTS_OPEN)
    end = script.index("}", body)
    names = _only(script, _NAMES_OPEN) + len("};var ")
    head, declared, assigned, tail = script[:names], script[names:function], script[body:end], script[end:]
    used = set(re.findall(r"[A-Za-z_$][\w$]*", head + tail))
    kept = [name for name in declared.rstrip(";").split(",") if name in used]
    statements = [statement for statement in assigned.split(";") if statement.split("=", 1)[0] in used]
    return head + ",".join(kept) + ";" + _EXPORTS_OPEN + ";".join(statements) + tail
