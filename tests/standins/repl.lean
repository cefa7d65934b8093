/-
A read-eval-print loop that speaks the protocol of leanprover-community/repl: requests of JSON parted by empty lines,
`{"cmd": text}` or `{"cmd": text, "env": number}`, and answers `{"messages": [...], "env": number}`. It stands in the
place of that program where only the embedded Lean is there. Appended to the checker's text, for its functions.
-/
public meta section
namespace Repl

open Judge Command

def severity : MessageSeverity → String
  | .error => "error"
  | .warning => "warning"
  | .information => "info"

partial def shownAll (messages : List Message) (a : Array Json) : IO (Array Json) := do
  match messages with
  | [] => return a
  | m :: rest =>
    let position := Json.mkObj [("line", Json.num (JsonNumber.fromNat m.pos.line)), ("column", Json.num (JsonNumber.fromNat m.pos.column))]
    let one := Json.mkObj [("severity", Json.str (severity m.severity)), ("pos", position), ("endPos", position),
      ("data", Json.str (← m.data.toString))]
    shownAll rest (a.push one)

partial def runAll (input : Parser.InputContext) (position : Parser.ModuleParserState) (s : Command.State)
    (a : Array Json) : IO (Command.State × Array Json) := do
  let (stx, next, messages) := Parser.parseCommand input (parserContext s) position {}
  let a ← shownAll messages.toList a
  if Parser.isTerminalCommand stx then return (s, a)
  let s ← elaborated input s stx
  let a ← shownAll s.messages.toList a
  runAll input next { s with messages := {} } a

def fresh (input : Parser.InputContext) : IO (Command.State × Parser.ModuleParserState) := do
  let (header, position, messages) ← Parser.parseHeader input
  let (env, messages) ← processHeader header {} messages input
  return (Command.mkState env messages (Options.empty.setBool `Elab.async false), position)

def answered (states : IO.Ref (Array Command.State)) (j : Json) : IO Json := do
  let input := inputOf (text j "cmd")
  let held ← states.get
  let (s, position) ← match j.getObjVal? "env" with
    | .ok (.num n) => match held[n.mantissa.toNat]? with
      | some s => pure (s, {})
      | none => throw (IO.userError "Unknown environment.")
    | _ => fresh input
  let (s, messages) ← runAll input position s #[]
  states.set (held.push s)
  return Json.mkObj [("messages", Json.arr messages), ("env", Json.num (JsonNumber.fromNat held.size))]

partial def request (input : IO.FS.Stream) (lines : String) : IO String := do
  let line ← input.getLine
  if line == "\n" || line.isEmpty then return lines
  request input (lines ++ line)

partial def loop (states : IO.Ref (Array Command.State)) (input output : IO.FS.Stream) : IO Unit := do
  let lines ← request input ""
  if lines.isEmpty then return
  let answer ← match Json.parse lines with
    | .error e => pure (Json.mkObj [("message", Json.str ("Could not parse JSON:\n" ++ e))])
    | .ok j => try Repl.answered states j catch e => pure (Json.mkObj [("message", Json.str e.toString)])
  output.putStrLn (Json.compress answer)
  output.putStrLn ""
  output.flush
  loop states input output

end Repl

public meta def main : IO Unit := do
  let thread ← IO.asTask (do
    Repl.loop (← IO.mkRef #[]) (← IO.getStdin) (← IO.getStdout)
    return)
  match thread.get with
  | .ok _ => return
  | .error e => throw e
