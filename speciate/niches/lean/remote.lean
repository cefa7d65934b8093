/-! What a Lean that is spoken to by commands (a REPL, a server) runs after the text of the checker. -/

namespace Judge
open Command

/-- The environment of the command itself: what its file imports, and the checker. -/
def ambient : CommandElabM Library := do
  let env ← getEnv
  let options := (Options.empty.setBool `Elab.async false).setBool `relaxedAutoImplicit false
  let state := Command.mkState env {} options
  let proofless := match env.checked.get.find? `Nat.add_comm with
    | some (.axiomInfo _) => true
    | _ => false
  return { state := { state with infoState := { enabled := false } }, proofless }

partial def replyTo (library : Library) (memory : IO.Ref Memory) : List String → CommandElabM Unit
  | [] => return
  | line :: rest => do
    IO.println (← respond library memory line)
    replyTo library memory rest

/-- One line for each request: its answer, with its nonce. -/
def reply (lines : List String) : CommandElabM Unit := do
  let library ← ambient
  let memory ← IO.mkRef { context := "", state := .ok library.state : Memory }
  replyTo library memory lines

def ready : CommandElabM Unit := IO.println (Json.compress (Json.mkObj [("ready", Json.str Lean.versionString)]))

end Judge
