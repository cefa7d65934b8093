// What `lean.js` calls once `script.py` has edited it. This text is appended to it, and so sees its FS, PATH and GOT.

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
  mountLibrary();
  FS.ignorePermissions = false;
}

// The next byte of standard input; null at the end of a line, so that it is answered before the next comes, and of all.
let stdinBytes = null, stdinAt = 0, stdinEnd = 0, lineEnded = false;
function nextInputByte() {
  if (lineEnded) { lineEnded = false; return null; }
  if (stdinAt === stdinEnd) {
    stdinBytes ??= Buffer.alloc(65536);
    stdinAt = 0;
    stdinEnd = fs.readSync(0, stdinBytes, 0, stdinBytes.length, null);
    if (stdinEnd === 0) return null;
  }
  const byte = stdinBytes[stdinAt++];
  lineEnded = byte === 10;
  return byte;
}

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
