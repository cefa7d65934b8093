/-- A thread has a stack for deep terms; that of the main thread is small, and unguarded, in a build for WebAssembly. -/
public meta def main : IO Unit := do
  let thread ← IO.asTask (do Judge.serve; return)
  match thread.get with
  | .ok _ => return
  | .error e => throw e
