/-
The judge: reads one request a line on standard input, writes one verdict a line on standard output.

The context and the statement of a request are trusted, its proof is not. A proof is accepted when its text, put after
the statement, parses as one theorem without any forbidden word; elaborates without an error or a `sorry` in an
environment that holds only `Init`, `Std` and the context; has exactly the type of the trusted statement; rests, through
the context too, on no axiom but `propext`, `Classical.choice` and `Quot.sound`; and when all that it added passes the
kernel once more, with checking on, in the environment as it was before.

Interpreted, also by a build of Lean whose library lacks the inlined variants of many functions, and compiled there once
to an `.olean` that keeps only what it names itself, and no lifted function: hence the plain recursion instead of `for`,
`List.map`, `==` on lists, functions as arguments and whatever else the compiler would specialize. Recursion over the
characters of a string does not end there.
-/
module
public meta import Lean
open Lean Elab
public meta section

namespace Judge

/-- Words that no proof may hold, by the class of cheat that they are for. -/
def classes : List (String × List String) := [
  ("option", ["set_option"]),
  ("sorry", ["sorry", "admit", "stop"]),
  ("native", ["native_decide", "bv_decide", "bv_check"]),
  ("metaprogramming", ["run_tac", "run_elab", "run_meta", "run_cmd", "by_elab", "elab", "macro", "syntax",
    "macro_rules", "eval_suggest_tactic", "simproc"]),
  ("declaration", ["where", "termination_by", "decreasing_by", "partial_fixpoint", "inductive_fixpoint",
    "coinductive_fixpoint"]),
  ("unsafe", ["unsafe"]),
  ("effect", ["include_str", "dbg_trace", "dbg_sleep", "dbg_trace_if_shared", "sleep", "trace", "show_term"])]

def names : List (String × List Name) := [
  ("sorry", [`sorryAx]),
  ("native", [`native, `Lean.ofReduceBool, `Lean.ofReduceNat, `Lean.trustCompiler, `Lean.reduceBool,
    `Lean.reduceNat, `ofReduceBool, `ofReduceNat, `trustCompiler]),
  ("unsafe", [`unsafeCast, `lcProof, `lcAny, `lcUnreachable])]

def kinds : List Name := [``Parser.Term.letrec, ``Parser.Tactic.letrec, `Lean.Parser.Term.whereDecls]

def allowedAxioms : List Name := [`propext, `Classical.choice, `Quot.sound]

/-- What no proof may rest on. Where the library's theorems are stored without proofs, they are axioms like these. -/
def denied : List Name := [`sorryAx, `Lean.ofReduceBool, `Lean.ofReduceNat, `Lean.trustCompiler, `Lean.reduceBool,
  `Lean.reduceNat, `lcProof, `lcAny, `lcUnreachable]

structure Target where
  name : Name
  type : Expr
  levels : List Name

structure Limits where
  /-- In the unit of the option `maxHeartbeats`: thousands of small allocations. -/
  heartbeats : Nat
  /-- Tactics that this proof must do without. -/
  without : List String
  /-- Axioms of the context that this proof may rest on. -/
  axioms : List String
  /-- Whether a letter that the statement does not declare is a variable of it. -/
  implicit : Bool

inductive Verdict where
  | proved (axioms : List Name) (place : Nat)
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

partial def dotted : Name → String
  | .anonymous => ""
  | .str .anonymous s => s
  | .str p s => dotted p ++ "." ++ s
  | .num p _ => dotted p ++ ".#"

/-- A name as its author wrote it: the names of a module's own theorems are private inside Lean. -/
def shown (n : Name) : String := match privateToUserName? n with
  | some written => dotted written
  | none => dotted n

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

def classOfWord (s : String) : List (String × List String) → Option String
  | [] => none
  | (name, list) :: rest => if hasWord s list then some name else classOfWord s rest

def classOfName (n : Name) : List (String × List Name) → Option String
  | [] => none
  | (name, list) :: rest => if hasName n list then some name else classOfName n rest

def classOf (limits : Limits) (s : String) : Option String :=
  if let some name := classOfWord s classes then some name else
  if hasWord s limits.without then some "tactic" else
  let first := String.Pos.Raw.get s 0
  if first == '`' then some "metaprogramming"
  else if first == '#' then (if hasWord s ["#[", "#v[", "#"] then none else some "command")
  else if first.isAlpha && s.length > 1 && String.Pos.Raw.get s (String.Pos.Raw.prev s s.rawEndPos) == '?' then
    some "search"
  else none

mutual
/-- Class and word of the first thing that the proof must not hold. -/
partial def offence (limits : Limits) : Syntax → Option (String × String)
  | .missing => some ("parse", "text that does not parse")
  | .atom _ s => match classOf limits s with
    | some name => some (name, s)
    | none => none
  | .ident _ _ n _ => match classOfName n names with
    | some name => some (name, shown n)
    | none => none
  | .node _ kind arguments =>
    if hasName kind kinds then some ("declaration", shown kind) else offenceAmong limits arguments 0

partial def offenceAmong (limits : Limits) (arguments : Array Syntax) (i : Nat) : Option (String × String) :=
  if h : i < arguments.size then
    match offence limits arguments[i] with
    | some found => some found
    | none => offenceAmong limits arguments (i + 1)
  else none
end

/-- The declaration that the text is, where it is one and nothing else; otherwise what is wrong. -/
def onlyDeclaration (input : Parser.InputContext) (s : Command.State) : IO (Except Verdict Syntax) := do
  let (stx, next, messages) := Parser.parseCommand input (parserContext s) {} {}
  if let some error ← firstError messages.toList then return .error (.refused "parse" error)
  let (rest, _, messages) := Parser.parseCommand input (parserContext s) next {}
  if let some error ← firstError messages.toList then return .error (.refused "command" error)
  if rest.getKind != ``Parser.Command.eoi then
    return .error (.refused "command" "another command follows the theorem")
  if stx.getKind != ``Parser.Command.declaration then return .error (.refused "command" "it is not a declaration")
  return .ok stx

/-! ### What the proof added, and what it rests on -/

mutual
partial def namesIn (node : PersistentHashMap.Node Name ConstantInfo) (names : List Name) : List Name :=
  match node with
  | .entries entries => namesAmong entries 0 names
  | .collision keys _ _ => joined (listed keys 0) names

partial def namesAmong (entries : Array (PersistentHashMap.Entry Name ConstantInfo
    (PersistentHashMap.Node Name ConstantInfo))) (i : Nat) (names : List Name) : List Name :=
  if h : i < entries.size then
    namesAmong entries (i + 1) (match entries[i] with
      | .entry n _ => n :: names
      | .ref node => namesIn node names
      | .null => names)
  else names
end

/-- Of the constants that are new: those that are neither the theorem nor made by Lean on the way to it. -/
partial def strangers (env : Environment) (before : Kernel.Environment) (goal : Name) : List Name → List Name
  | [] => []
  | n :: rest =>
    let others := strangers env before goal rest
    if (before.find? n).isSome || goal.isPrefixOf n || n.isInternalDetail || isReservedName env n then others
    else n :: others

structure Audit where
  seen : List Name := []
  bad : List Name := []
  axioms : List Name := []

def parts : ConstantInfo → List Name
  | .defnInfo v => joined (constants v.type) (constants v.value)
  | .thmInfo v => joined (constants v.type) (constants v.value)
  | .opaqueInfo v => joined (constants v.type) (constants v.value)
  | c => constants c.type

def isSafe : ConstantInfo → Bool
  | .defnInfo v => v.safety == .safe
  | .opaqueInfo v => !v.isUnsafe
  | .axiomInfo v => !v.isUnsafe
  | _ => true

/-- Whether an axiom may be rested on: one of the three, one that the request allows, or one that is a theorem of a
library that is stored without proofs. -/
def mayRestOn (ofLibrary proofless : Bool) (limits : Limits) (n : Name) : Bool :=
  hasName n allowedAxioms || (if ofLibrary then proofless else hasWord (shown n) limits.axioms)

/-- Walk through all that the theorem rests on: the context too, but not the library, which is trusted. -/
partial def audit (library before after : Kernel.Environment) (proofless : Bool) (limits : Limits) :
    List Name → Audit → Audit
  | [], a => a
  | n :: rest, a =>
    if hasName n a.seen then audit library before after proofless limits rest a else
    let a := { a with seen := n :: a.seen }
    let a := if hasName n denied then { a with bad := n :: a.bad } else a
    let a := if hasName n allowedAxioms then { a with axioms := n :: a.axioms } else a
    match after.find? n with
    | none => audit library before after proofless limits rest { a with bad := n :: a.bad }
    | some c =>
      let ofLibrary := (library.find? n).isSome
      let a := if isSafe c then a else { a with bad := n :: a.bad }
      let a := match c with
        | .axiomInfo _ =>
          if mayRestOn ofLibrary proofless limits n then
            (if ofLibrary then a else { a with axioms := n :: a.axioms })
          else { a with bad := n :: a.bad }
        | .thmInfo _ => a
        | .defnInfo _ => a
        | .opaqueInfo _ => a
        | _ => if (before.find? n).isSome then a else { a with bad := n :: a.bad }
      if ofLibrary then audit library before after proofless limits rest a
      else audit library before after proofless limits (joined (parts c) rest) a

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

def options (s : Command.State) : Options := match s.scopes with
  | scope :: _ => scope.opts
  | [] => {}

def withOptions (s : Command.State) (options : Options) : Command.State :=
  match s.scopes with
  | scope :: rest => { s with messages := {}, scopes := { scope with opts := options } :: rest }
  | [] => s

/-- The state for the statement, with or without its proof: its type must not depend on which. -/
def forStatement (s : Command.State) (limits : Limits) : Command.State :=
  if limits.implicit then { s with messages := {} } else withOptions s ((options s).setBool `autoImplicit false)

def forProof (s : Command.State) (limits : Limits) : Command.State :=
  let s := forStatement s limits
  withOptions s ((options s).setNat `maxHeartbeats limits.heartbeats)

def prepared (library : Library) (preamble : String) : IO (Except Verdict Command.State) := do
  match ← elaborateAll (inputOf preamble) {} library.state with
  | .error error => return .error (.refused "context" error)
  | .ok s => return .ok s

def target (s : Command.State) (limits : Limits) (statement : String) (name : Name) : IO (Except Verdict Target) := do
  let input := inputOf (statement ++ " := sorry")
  match ← onlyDeclaration input s with
  | .error (.refused _ error) => return .error (.refused "statement" error)
  | .error _ => return .error (.refused "statement" "")
  | .ok stx =>
  let t ← elaborated input (forStatement s limits) stx
  if let some error ← firstError t.messages.toList then return .error (.refused "statement" error)
  let full := match s.scopes with
    | scope :: _ => scope.currNamespace ++ name
    | [] => name
  let environment := t.env.checked.get
  let full := if (environment.find? full).isSome then full else mkPrivateName t.env full
  match environment.find? full with
  | some (.thmInfo v) =>
    if (s.env.checked.get.find? full).isSome then return .error (.refused "name" "the name is taken")
    if v.type.hasSorry then return .error (.refused "statement" "the type holds an error")
    return .ok { name := full, type := v.type, levels := v.levelParams }
  | _ => return .error (.refused "statement" ("it does not state a theorem " ++ shown name))

def reasonOf (bad : List Name) : String :=
  match bad with
  | [] => "axiom"
  | n :: rest => match classOfName n names with
    | some name => name
    | none => reasonOf rest

def judged (library : Library) (s : Command.State) (goal : Target) (statement proof : String) (limits : Limits) :
    IO Verdict := do
  let input := inputOf (statement ++ " := " ++ proof)
  match ← onlyDeclaration input s with
  | .error verdict => return verdict
  | .ok stx =>
  if let some (name, word) := offence limits stx then return .refused name word
  let t ← elaborated input (forProof s limits) stx
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
  let added := strangers t.env before goal.name (namesIn after.constants.map₂.root [])
  if let n :: rest := added then return .refused "declaration" (allShown (n :: rest))
  let found := audit library.state.env.checked.get before after library.proofless limits [goal.name] {}
  if let n :: rest := found.bad then return .refused (reasonOf (n :: rest)) (allShown (n :: rest))
  match ← replay after limits s.env goal.name with
  | .error error => return .refused "kernel" error
  | .ok e =>
    match e.checked.get.find? goal.name with
    | some (.thmInfo v) =>
      if v.type == goal.type then return .proved found.axioms 0 else return .refused "type" "changed on replay"
    | _ => return .refused "kernel" "not there on replay"

/-! ### Requests -/

/-- What the last requests were about: jobs come in groups with one context, often with one statement. -/
structure Memory where
  context : String
  state : Except Verdict Command.State
  statement : String := ""
  name : Name := .anonymous
  implicit : Bool := false
  goal : Except Verdict Target := .error (.refused "statement" "")

def text (j : Json) (key : String) : String := match j.getObjVal? key with
  | .ok (.str s) => s
  | _ => ""

def number (j : Json) (key : String) : Nat := match j.getObjVal? key with
  | .ok (.num n) => n.mantissa.toNat
  | _ => 0

partial def textsFrom (a : Array Json) (i : Nat) : List String :=
  if h : i < a.size then
    match a[i] with
    | .str s => s :: textsFrom a (i + 1)
    | _ => textsFrom a (i + 1)
  else []

def texts (j : Json) (key : String) : List String := match j.getObjVal? key with
  | .ok (.arr a) => textsFrom a 0
  | _ => []

partial def named (parts : List String) (n : Name) : Name := match parts with
  | [] => n
  | part :: rest => named rest (.str n part)

/-- The first of the proofs that stands, or what is wrong with the last. -/
partial def judgedInTurn (library : Library) (s : Command.State) (goal : Target) (statement : String)
    (limits : Limits) (place : Nat) : List String → IO Verdict
  | [] => return .refused "parse" "there is no proof"
  | proof :: rest => do
    match ← judged library s goal statement proof limits with
    | .proved axioms _ => return .proved axioms place
    | verdict => match rest with
      | [] => return verdict
      | _ => judgedInTurn library s goal statement limits (place + 1) rest

def answered (library : Library) (memory : IO.Ref Memory) (j : Json) : IO Verdict := do
  let limits : Limits :=
    { heartbeats := number j "heartbeats", without := texts j "without", axioms := texts j "axioms",
      implicit := number j "implicit" == 1 }
  let context := text j "context"
  let statement := text j "statement"
  let name := named (texts j "name") .anonymous
  let m ← memory.get
  let m ← if m.context == context then pure m else pure { context, state := ← prepared library context : Memory }
  match m.state with
  | .error verdict => memory.set m; return verdict
  | .ok s =>
  let m ← if m.statement == statement && m.name == name && m.implicit == limits.implicit then pure m
    else pure { m with statement, name, goal := ← target s limits statement name, implicit := limits.implicit }
  memory.set m
  match m.goal with
  | .error verdict => return verdict
  | .ok goal => judgedInTurn library s goal statement limits 0 (texts j "proofs")

partial def jsonNames (names : List Name) (a : Array Json) : Array Json := match names with
  | [] => a
  | n :: rest => jsonNames rest (a.push (Json.str (shown n)))

def answer (nonce : String) (verdict : Verdict) (ms : Nat) : String :=
  let (reason, detail, axioms, place) := match verdict with
    | .proved axioms place => ("", "", axioms, place)
    | .refused reason detail => (reason, detail, [], 0)
  Json.compress (Json.mkObj [("nonce", Json.str nonce), ("proved", Json.bool (reason == "")),
    ("reason", Json.str reason), ("detail", Json.str detail), ("axioms", Json.arr (jsonNames axioms #[])),
    ("place", Json.num (JsonNumber.fromNat place)), ("ms", Json.num (JsonNumber.fromNat ms))])

def respond (library : Library) (memory : IO.Ref Memory) (line : String) : IO String := do
  match Json.parse line with
  | .error e => return e
  | .ok j =>
    let started ← IO.monoMsNow
    let verdict ← try answered library memory j catch e => pure (.refused "error" e.toString)
    return answer (text j "nonce") verdict ((← IO.monoMsNow) - started)

partial def loop (library : Library) (memory : IO.Ref Memory) (input output : IO.FS.Stream) : IO Unit := do
  let line ← input.getLine
  if line.isEmpty then return
  output.putStrLn (← respond library memory line)
  output.flush
  loop library memory input output

def library : IO Library := do
  let input := inputOf "import Init\nimport Std\n"
  let (header, _, messages) ← Parser.parseHeader input
  let (env, _) ← processHeader header {} messages input
  let options := (Options.empty.setBool `Elab.async false).setBool `relaxedAutoImplicit false
  let state := Command.mkState env {} options
  let proofless := match env.checked.get.find? `Nat.add_comm with
    | some (.axiomInfo _) => true
    | _ => false
  return { state := { state with infoState := { enabled := false } }, proofless }

def serve : IO Unit := do
  let input ← IO.getStdin
  let output ← IO.getStdout
  let library ← library
  let memory ← IO.mkRef { context := "", state := .ok library.state : Memory }
  output.putStrLn (Json.compress (Json.mkObj [("ready", Json.str Lean.versionString)]))
  output.flush
  loop library memory input output

end Judge
