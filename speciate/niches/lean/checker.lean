/-
The judge: reads one request a line on standard input, writes one verdict a line on standard output.

The preamble and the statement of a request are trusted, its proof is not. A proof is accepted when its text, put after
the statement, parses as one theorem without any forbidden word; elaborates without an error or a `sorry` in an
environment that holds only `Init`, `Std` and the preamble; has exactly the type of the trusted statement; rests on no
new axiom; and when all that it added passes the kernel once more, in the environment as it was before.

Interpreted, also by a build of Lean whose library lacks the inlined variants of many functions, and compiled there once
to an `.olean` that keeps only what it names itself: hence the plain recursion instead of `for`, `List.map`, `==` on
lists and whatever else the compiler would specialize. Recursion over the characters of a string does not end there.
-/
module
public meta import Lean
open Lean Elab
public meta section

namespace Judge

def words : List String := ["set_option", "sorry", "admit", "stop", "native_decide", "bv_decide", "bv_check", "run_tac",
  "run_elab", "run_meta", "run_cmd", "by_elab", "where", "termination_by", "decreasing_by", "partial_fixpoint",
  "include_str", "dbg_trace", "dbg_sleep", "dbg_trace_if_shared", "sleep", "unsafe", "eval_suggest_tactic", "elab",
  "macro", "syntax", "macro_rules", "show_term", "trace"]

def names : List Name := [`native, `sorryAx, `Lean.ofReduceBool, `Lean.ofReduceNat, `Lean.trustCompiler, `unsafeCast]

def kinds : List Name := [``Parser.Term.letrec, ``Parser.Tactic.letrec, `Lean.Parser.Term.whereDecls]

def allowedAxioms : List Name := [`propext, `Classical.choice, `Quot.sound]

/-- What no proof may rest on. Where the library's theorems are stored without proofs, they are axioms like these. -/
def denied : List Name := [`sorryAx, `Lean.ofReduceBool, `Lean.ofReduceNat, `Lean.trustCompiler, `Lean.reduceBool,
  `Lean.reduceNat]

structure Target where
  name : Name
  type : Expr
  levels : List Name

structure Limits where
  /-- In the unit of the option `maxHeartbeats`: thousands of small allocations. -/
  heartbeats : Nat

inductive Verdict where
  | proved
  | refused (reason detail : String)

partial def hasName (n : Name) : List Name → Bool
  | [] => false
  | a :: rest => if a == n then true else hasName n rest

partial def hasWord (s : String) : List String → Bool
  | [] => false
  | a :: rest => if a == s then true else hasWord s rest

partial def sameNames : List Name → List Name → Bool
  | [], [] => true
  | a :: as, b :: bs => a == b && sameNames as bs
  | _, _ => false

partial def joined : List Name → List Name → List Name
  | [], b => b
  | a :: rest, b => a :: joined rest b

partial def listed (a : Array Name) (i : Nat) : List Name :=
  if h : i < a.size then a[i] :: listed a (i + 1) else []

def constants (e : Expr) : List Name := listed e.getUsedConstants 0

partial def shown : Name → String
  | .anonymous => ""
  | .str .anonymous s => s
  | .str p s => shown p ++ "." ++ s
  | .num p _ => shown p ++ ".#"

partial def allShown : List Name → String
  | [] => ""
  | [n] => shown n
  | n :: rest => shown n ++ ", " ++ allShown rest

/-! ### Parsing and elaboration -/

def inputOf (text : String) : Parser.InputContext :=
  { inputString := text, fileName := "<proof>", fileMap := text.toFileMap, endPos := text.rawEndPos,
    endPos_valid := by simp }

def parserContext (s : Command.State) : Parser.ParserModuleContext :=
  match s.scopes with
  | scope :: _ =>
    { env := s.env, options := scope.opts, currNamespace := scope.currNamespace, openDecls := scope.openDecls }
  | [] => { env := s.env, options := {} }

def elaborated (input : Parser.InputContext) (s : Command.State) (stx : Syntax) : IO Command.State := do
  let state ← IO.mkRef s
  let context : Command.Context :=
    { fileName := input.fileName, fileMap := input.fileMap, snap? := none, cancelTk? := none }
  match ← (Command.elabCommandTopLevel stx context state).toBaseIO with
  | .ok _ => state.get
  | .error e => throw (IO.userError (← e.toMessageData.toString))

partial def firstError : List Message → IO (Option String)
  | [] => return none
  | m :: rest => match m.severity with
    | .error => return some (← m.data.toString)
    | _ => firstError rest

partial def saysSorry : List Message → IO Bool
  | [] => return false
  | m :: rest => do
    let text ← m.data.toString
    if text == "declaration uses `sorry`" || text == "declaration uses 'sorry'" then return true
    saysSorry rest

/-- The state after all commands, or the first error of one. -/
partial def elaborateAll (input : Parser.InputContext) (position : Parser.ModuleParserState) (s : Command.State) :
    IO (Except String Command.State) := do
  let (stx, next, messages) := Parser.parseCommand input (parserContext s) position {}
  if let some error ← firstError messages.toList then return .error error
  if Parser.isTerminalCommand stx then return .ok s
  let s ← elaborated input s stx
  if let some error ← firstError s.messages.toList then return .error error
  if ← saysSorry s.messages.toList then return .error "it uses sorry"
  elaborateAll input next { s with messages := {} }

/-! ### The gate: what the text of a proof may hold -/

def badWord (s : String) : Bool :=
  if hasWord s words then true else
  let first := String.Pos.Raw.get s 0
  if first == '`' then true
  else if first == '#' then !(hasWord s ["#[", "#v[", "#"])
  else first.isAlpha && s.length > 1 && String.Pos.Raw.get s (String.Pos.Raw.prev s s.rawEndPos) == '?'

mutual
partial def offence : Syntax → Option String
  | .missing => some "text that does not parse"
  | .atom _ s => if badWord s then some s else none
  | .ident _ _ n _ => if hasName n names then some (shown n) else none
  | .node _ kind arguments => if hasName kind kinds then some (shown kind) else offenceAmong arguments 0

partial def offenceAmong (arguments : Array Syntax) (i : Nat) : Option String :=
  if h : i < arguments.size then
    match offence arguments[i] with
    | some word => some word
    | none => offenceAmong arguments (i + 1)
  else none
end

/-- The declaration that the text is, where it is one and nothing else; otherwise what is wrong. -/
def onlyDeclaration (input : Parser.InputContext) (s : Command.State) : IO (Except String Syntax) := do
  let (stx, next, messages) := Parser.parseCommand input (parserContext s) {} {}
  if let some error ← firstError messages.toList then return .error error
  let (rest, _, messages) := Parser.parseCommand input (parserContext s) next {}
  if let some error ← firstError messages.toList then return .error error
  if rest.getKind != ``Parser.Command.eoi then return .error "there is more than one command"
  if stx.getKind != ``Parser.Command.declaration then return .error "it is not a declaration"
  return .ok stx

/-! ### What the proof added, and what it rests on -/

structure Audit where
  seen : List Name := []
  bad : List Name := []

def parts : ConstantInfo → List Name
  | .defnInfo v => joined (constants v.type) (constants v.value)
  | .thmInfo v => joined (constants v.type) (constants v.value)
  | .opaqueInfo v => joined (constants v.type) (constants v.value)
  | c => constants c.type

/-- Walk through all constants that are new since `before`; `library` is the environment without the preamble. -/
partial def audit (library before after : Kernel.Environment) (proofless : Bool) : List Name → Audit → Audit
  | [], a => a
  | n :: rest, a =>
    if hasName n a.seen then audit library before after proofless rest a else
    let a := { a with seen := n :: a.seen, bad := if hasName n denied then n :: a.bad else a.bad }
    match before.find? n with
    | some (.axiomInfo _) =>
      let bad := !proofless && (library.find? n).isSome && !(hasName n allowedAxioms)
      audit library before after proofless rest (if bad then { a with bad := n :: a.bad } else a)
    | some _ => audit library before after proofless rest a
    | none =>
      match after.find? n with
      | some (.thmInfo v) => audit library before after proofless (joined (parts (.thmInfo v)) rest) a
      | some (.defnInfo v) =>
        let a := if v.safety == .safe then a else { a with bad := n :: a.bad }
        audit library before after proofless (joined (parts (.defnInfo v)) rest) a
      | some (.opaqueInfo v) =>
        let a := if v.isUnsafe then { a with bad := n :: a.bad } else a
        audit library before after proofless (joined (parts (.opaqueInfo v)) rest) a
      | _ => audit library before after proofless rest { a with bad := n :: a.bad }

mutual
/-- Add `n`, and first what it needs, to `e`: each declaration is checked by the kernel. -/
partial def replay (source : Kernel.Environment) (limits : Limits) (e : Environment) (n : Name) :
    IO (Except String Environment) := do
  if (e.checked.get.find? n).isSome then return .ok e
  match source.find? n with
  | none => return .error (shown n ++ " is missing")
  | some c =>
    match ← replayAll source limits e n (parts c) with
    | .error s => return .error s
    | .ok e =>
      let declaration := match c with
        | .thmInfo v => some (Declaration.thmDecl v)
        | .defnInfo v => some (Declaration.defnDecl v)
        | .opaqueInfo v => some (Declaration.opaqueDecl v)
        | _ => none
      match declaration with
      | none => return .error (shown n ++ " is neither a theorem nor a definition")
      | some d =>
        match e.addDeclCore (USize.ofNat (limits.heartbeats * 1000)) d none true with
        | .ok e => return .ok e
        | .error error => return .error (← (error.toMessageData {}).toString)

partial def replayAll (source : Kernel.Environment) (limits : Limits) (e : Environment) (parent : Name) :
    List Name → IO (Except String Environment)
  | [] => return .ok e
  | n :: rest => do
    if n == parent then replayAll source limits e parent rest else
    match ← replay source limits e n with
    | .ok e => replayAll source limits e parent rest
    | .error s => return .error s
end

/-! ### The judgement -/

structure Library where
  state : Command.State
  proofless : Bool

def withHeartbeats (s : Command.State) (limits : Limits) : Command.State :=
  match s.scopes with
  | scope :: rest => { s with
      messages := {}, scopes := { scope with opts := scope.opts.setNat `maxHeartbeats limits.heartbeats } :: rest }
  | [] => s

def prepared (library : Library) (preamble : String) : IO (Except Verdict Command.State) := do
  match ← elaborateAll (inputOf preamble) {} library.state with
  | .error error => return .error (.refused "preamble" error)
  | .ok s => return .ok s

def target (s : Command.State) (statement : String) (name : Name) : IO (Except Verdict Target) := do
  let input := inputOf (statement ++ " := sorry")
  match ← onlyDeclaration input s with
  | .error error => return .error (.refused "statement" error)
  | .ok stx =>
  let t ← elaborated input { s with messages := {} } stx
  if let some error ← firstError t.messages.toList then return .error (.refused "statement" error)
  let full := match s.scopes with
    | scope :: _ => scope.currNamespace ++ name
    | [] => name
  let environment := t.env.checked.get
  let full := if (environment.find? full).isSome then full else mkPrivateName t.env full
  match environment.find? full with
  | some (.thmInfo v) =>
    if (s.env.checked.get.find? full).isSome then return .error (.refused "statement" "the name is taken")
    if v.type.hasSorry then return .error (.refused "statement" "the type holds an error")
    return .ok { name := full, type := v.type, levels := v.levelParams }
  | _ => return .error (.refused "statement" ("it does not state a theorem " ++ shown name))

def indented (proof : String) : String := "  " ++ String.intercalate "\n  " (proof.splitOn "\n")

def judged (library : Library) (s : Command.State) (goal : Target) (statement proof : String) (limits : Limits) :
    IO Verdict := do
  let input := inputOf (statement ++ " := by\n" ++ indented proof)
  match ← onlyDeclaration input s with
  | .error error => return .refused "parse" error
  | .ok stx =>
  if let some word := offence stx then return .refused "forbidden" word
  let t ← elaborated input (withHeartbeats s limits) stx
  let messages := t.messages.toList
  if let some error ← firstError messages then return .refused "error" error
  if ← saysSorry messages then return .refused "sorry" "the proof is not complete"
  let before := s.env.checked.get
  let after := t.env.checked.get
  match after.find? goal.name with
  | some (.thmInfo v) =>
    if !(v.type == goal.type && sameNames v.levelParams goal.levels) then
      return .refused "type" "another theorem was proved"
  | _ => return .refused "type" "no theorem of that name was proved"
  let found := audit library.state.env.checked.get before after library.proofless [goal.name] {}
  if let n :: rest := found.bad then return .refused "axiom" (allShown (n :: rest))
  match ← replay after limits s.env goal.name with
  | .error error => return .refused "kernel" error
  | .ok e =>
    match e.checked.get.find? goal.name with
    | some (.thmInfo v) => if v.type == goal.type then return .proved else return .refused "type" "changed on replay"
    | _ => return .refused "kernel" "not there on replay"

/-! ### Requests -/

/-- What the last requests were about: jobs come in groups with one preamble, often with one statement. -/
structure Memory where
  preamble : String
  state : Except Verdict Command.State
  statement : String := ""
  name : String := ""
  goal : Except Verdict Target := .error (.refused "statement" "")

def text (j : Json) (key : String) : String := match j.getObjVal? key with
  | .ok (.str s) => s
  | _ => ""

def number (j : Json) (key : String) : Nat := match j.getObjVal? key with
  | .ok (.num n) => n.mantissa.toNat
  | _ => 0

def answered (library : Library) (memory : IO.Ref Memory) (j : Json) : IO Verdict := do
  let limits : Limits := { heartbeats := number j "heartbeats" }
  let preamble := text j "preamble"
  let statement := text j "statement"
  let name := text j "name"
  let m ← memory.get
  let m ← if m.preamble == preamble then pure m else pure { preamble, state := ← prepared library preamble : Memory }
  match m.state with
  | .error verdict => memory.set m; return verdict
  | .ok s =>
  let m ← if m.statement == statement && m.name == name then pure m
    else pure { m with statement, name, goal := ← target s statement (.str .anonymous name) }
  memory.set m
  match m.goal with
  | .error verdict => return verdict
  | .ok goal => judged library s goal statement (text j "proof") limits

def answer (nonce : String) (verdict : Verdict) (ms : Nat) : String :=
  let (reason, detail) := match verdict with
    | .proved => ("ok", "")
    | .refused reason detail => (reason, detail)
  Json.compress (Json.mkObj [("nonce", Json.str nonce), ("reason", Json.str reason), ("detail", Json.str detail),
    ("ms", Json.num (JsonNumber.fromNat ms))])

partial def loop (library : Library) (memory : IO.Ref Memory) (input output : IO.FS.Stream) : IO Unit := do
  let line ← input.getLine
  if line.isEmpty then return
  match Json.parse line with
  | .error e => output.putStrLn e
  | .ok j =>
    let started ← IO.monoMsNow
    let verdict ← try answered library memory j catch e => pure (.refused "error" e.toString)
    output.putStrLn (answer (text j "nonce") verdict ((← IO.monoMsNow) - started))
  output.flush
  loop library memory input output

def library : IO Library := do
  let input := inputOf "import Init\nimport Std\n"
  let (header, _, messages) ← Parser.parseHeader input
  let (env, _) ← processHeader header {} messages input
  let options := (Options.empty.setBool `Elab.async false).setBool `autoImplicit false
  let state := Command.mkState env {} options
  let proofless := match env.checked.get.find? `Nat.add_comm with
    | some (.axiomInfo _) => true
    | _ => false
  return { state := { state with infoState := { enabled := false } }, proofless }

def serve : IO Unit := do
  let input ← IO.getStdin
  let output ← IO.getStdout
  let library ← library
  let memory ← IO.mkRef { preamble := "", state := .ok library.state : Memory }
  output.putStrLn (Json.compress (Json.mkObj [("ready", Json.str Lean.versionString)]))
  output.flush
  loop library memory input output

end Judge
