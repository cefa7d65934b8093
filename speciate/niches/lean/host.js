// What `lean.js` calls once `script.py` has edited it. This text is appended to it, and so sees its FS, PATH and GOT.
//
// It runs Lean in one of two ways. From its beginning, with a disk that holds the library (LEAN_PATH), as `lean` on a
// command line: so the checker is compiled, and so its memory is frozen into a file (LEAN_FREEZE) when it is ready. Or
// from that file (LEAN_FROZEN): it thaws in a second, with no disk, and answers requests line by line; a thread is started
// when Lean asks for the first.

console.log = () => {};

// The whole disk that Lean sees: the library and the files of LEAN_FILES (guest path to host path), read-only, each
// read when it is opened. Nothing of the host can be written, except while our own checker is compiled into LEAN_OUT.
function mountLibrary() {
  let held = null, bytes = null;
  const show = (guest, host) => {
    FS.mkdirTree(PATH.dirname(guest));
    const node = FS.create(guest, 0o444);
    node.usedBytes = fs.statSync(host).size;
    Object.defineProperty(node, "contents", {
      set() {},
      get() {
        if (held !== host) { held = host; bytes = fs.readFileSync(host); }
        return bytes;
      },
    });
  };
  const root = process.env["LEAN_PATH"];
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true }))
    if (entry.isFile())
      show("/library" + entry.parentPath.slice(root.length) + "/" + entry.name, entry.parentPath + "/" + entry.name);
  for (const [guest, host] of Object.entries(JSON.parse(process.env["LEAN_FILES"]))) show(guest, host);
  if (process.env["LEAN_OUT"]) {
    FS.mkdir("/out");
    FS.mount(NODEFS, { root: process.env["LEAN_OUT"] }, "/out");
  }
}

// A thread of Lean with its own view of the files; asking the main thread for each would cost it a millisecond each.
function mountInThread() {
  FS.init();
  TTY.init();
  if (!process.env["LEAN_FROZEN"]) mountLibrary();
  FS.ignorePermissions = false;
}

// Before anything else: the module is compiled function by function, as each is called, and its bytes are let go.
function begin() {
  dieWithParent();
  Module["instantiateWasm"] = (imports, receive) => setImmediate(() => {
    const module = new WebAssembly.Module(fs.readFileSync(process.env["LEAN_WASM"]));
    receive(new WebAssembly.Instance(module, imports), module);
  });
}

// The main thread's own stack is small; terms are deep.
const STACK_BYTES = 64 << 20;

function runMain(args) {
  if (process.env["LEAN_FROZEN"]) {
    try { serve(thaw(process.env["LEAN_FROZEN"])); } catch (error) { endWith(error); }
    return;
  }
  const end = wasmExports["malloc"](STACK_BYTES);
  setStack(end + STACK_BYTES, end);
  callMain(args);
}

function setStack(start, end, at = start) {
  wasmExports["emscripten_stack_set_limits"](start, end);
  wasmExports["__stack_pointer"].value = at & ~15;
}

// Memory is kept in pieces; those that hold nothing are left out.
const PIECE = 65536;

// Writes what a process needs to go on from here when Lean asks for `/freeze/<address of a function>/<Lean's version>`.
// Threads cannot be kept, so the frozen Lean has none, and its own task manager is made anew.
function freezeAt(path) {
  if (!process.env["LEAN_FREEZE"] || !path.startsWith("/freeze/")) return;
  const [place, version] = path.slice("/freeze/".length).split("/");
  wasmExports["lean_finalize_task_manager"]();
  wasmExports["lean_init_task_manager_using"](1);
  growMemViews();
  const out = fs.openSync(process.env["LEAN_FREEZE"] + "/memory", "w");
  const words = new BigUint64Array(wasmMemory.buffer);
  const pieces = [];
  for (let at = 0; at < HEAPU8.length; at += PIECE) {
    if (words.subarray(at / 8, (at + PIECE) / 8).every((word) => word === 0n)) continue;
    fs.writeSync(out, HEAPU8, at, PIECE);
    pieces.push(at / PIECE);
  }
  fs.closeSync(out);
  const state = {
    version, pieces, answers: Number(place), bytes: HEAPU8.length, table: wasmTable.length,
    stack: [
      wasmExports["emscripten_stack_get_base"](), wasmExports["emscripten_stack_get_end"](),
      wasmExports["__stack_pointer"].value,
    ],
  };
  fs.writeFileSync(process.env["LEAN_FREEZE"] + "/frozen.json", JSON.stringify(state));
  process.exit(0);
}

// This process becomes the one that was frozen. The frames that are on the stack are never returned to.
function thaw(folder) {
  const state = JSON.parse(fs.readFileSync(folder + "/frozen.json"));
  if (wasmTable.length !== state.table) throw new Error("the frozen memory is of another build");
  wasmMemory.grow((state.bytes - wasmMemory.buffer.byteLength) / PIECE);
  updateMemoryViews();
  HEAPU8.fill(0, 0, wasmExports["sbrk"](0));
  const memory = fs.openSync(folder + "/memory", "r");
  for (let i = 0, next; i < state.pieces.length; i = next) {
    for (next = i + 1; next < i + 1024 && state.pieces[next] === state.pieces[i] + next - i; ) next++;
    const length = (next - i) * PIECE;
    if (fs.readSync(memory, HEAPU8, state.pieces[i] * PIECE, length) !== length) throw new Error("the frozen memory is cut");
  }
  fs.closeSync(memory);
  const [start, end, at] = state.stack;
  setStack(start, end, at);
  wasmExports["_ZN4lean15save_stack_infoEb"](0);
  globalThis.gc();
  return state;
}

// Requests come and answers go by this function alone: what Lean reads and writes is nobody's, and it never sees the
// nonce of a request.
function serve({ answers, version }) {
  const decoder = new TextDecoder();
  const say = (answer) => fs.writeSync(1, JSON.stringify(answer) + "\n");
  inputByte = () => null;
  say({ ready: version });
  for (let line; (line = nextLine()) !== null; ) {
    const { nonce, ...request } = JSON.parse(line);
    say({ ...JSON.parse(decoder.decode(applied(answers, JSON.stringify(request)))), nonce });
  }
  process.exit(0);
}

// The string that a Lean function of type `String → IO String` answers.
function applied(answers, text) {
  const bytes = Buffer.from(text);
  const copy = wasmExports["malloc"](bytes.length);
  growMemViews();
  HEAPU8.set(bytes, copy);
  const argument = wasmExports["lean_mk_string_from_bytes"](copy, bytes.length);
  wasmExports["free"](copy);
  growMemViews();
  HEAP32[answers >> 2] += Math.sign(HEAP32[answers >> 2]);
  const result = wasmExports["lean_apply_2"](answers, argument, 1);
  growMemViews();
  // An object has a count of references, its size and its tag in 8 bytes; a string then its size, capacity and length.
  if (HEAPU8[result + 7] !== 0) throw new Error("the checker failed");
  const string = HEAPU32[(result + 8) >> 2];
  const found = HEAPU8.slice(string + 20, string + 20 + HEAPU32[(string + 8) >> 2] - 1);
  wasmExports["lean_dec_ref_cold"](result);
  return found;
}

// Lines of standard input without their end; null after the last.
let stdinBytes = null, stdinAt = 0, stdinEnd = 0;
function nextLine() {
  const pieces = [];
  for (;;) {
    if (stdinAt === stdinEnd) {
      stdinBytes ??= Buffer.alloc(65536);
      stdinAt = 0;
      stdinEnd = fs.readSync(0, stdinBytes, 0, stdinBytes.length, null);
      if (stdinEnd === 0) return null;
    }
    const end = stdinBytes.subarray(0, stdinEnd).indexOf(10, stdinAt);
    pieces.push(Buffer.from(stdinBytes.subarray(stdinAt, end < 0 ? stdinEnd : end)));
    stdinAt = end < 0 ? stdinEnd : end + 1;
    if (end >= 0) return Buffer.concat(pieces).toString();
  }
}

// What Lean reads there: the next byte; null at the end of a line, so that it is answered before the next comes, and of
// all.
let lineBytes = null, lineAt = 0;
let inputByte = () => {
  if (lineBytes === null) {
    const line = nextLine();
    if (line === null) return null;
    lineBytes = Buffer.from(line + "\n");
    lineAt = 0;
  }
  if (lineAt === lineBytes.length) { lineBytes = null; return null; }
  return lineBytes[lineAt++];
};

// Each of the 200,000 functions gets its place in the table, which other threads count on, but an address only if asked.
function placeExports(exports) {
  Object.setPrototypeOf(wasmImports, exports);
  wasmImports["main"] = exports["__main_argc_argv"];
  for (const name in exports) {
    const value = exports[name];
    const place = typeof value == "function" ? addFunction(value) : value;
    if (GOT[name]?.value === -1 && !isInternalSym(name)) GOT[name].value = place;
  }
}

// The end of the whole process, from any thread; not by SIGKILL, which says that somebody else ended it.
function endWith(error) {
  if (error instanceof ExitStatus) process.exit(error.status);
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(getExceptionMessage(error));
  fs.writeSync(2, `\n${words}\n`);
  process.kill(process.pid, "SIGTERM");
}

// A busy process whose parent was killed would never come to see the end of its input.
function dieWithParent() {
  const watch = `const parent = process.ppid;
    setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, "SIGKILL"); }, 1000);`;
  new Worker(watch, { eval: true }).unref();
}
