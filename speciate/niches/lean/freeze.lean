meta def answered (library : Judge.Library) (memory : IO.Ref Judge.Memory) (line : String) : IO String :=
  Judge.respond library memory line

/-- Loads the library, and asks for a file whose name tells the host where in memory the function is that answers. -/
public meta unsafe def main : IO Unit := do
  let library ← Judge.library
  let memory ← IO.mkRef { context := "", state := .ok library.state : Judge.Memory }
  let answers ← IO.mkRef (answered library memory)
  let place := (ptrAddrUnsafe (← answers.get)).toNat
  if ← (System.FilePath.mk s!"/freeze/{place}/{Lean.versionString}").pathExists then
    answers.set (fun _ => return "")
