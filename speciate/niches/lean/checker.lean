import Lean
open Lean Elab Command

partial def catN : List Name → List Name → List Name
  | [], b => b
  | a :: r, b => a :: catN r b
partial def arrL (a : Array Name) (i : Nat) : List Name := if h : i < a.size then a[i] :: arrL a (i+1) else []
def used (e : Expr) : List Name := arrL e.getUsedConstants 0
partial def memN (n : Name) : List Name → Bool
  | [] => false
  | a :: r => if a == n then true else memN n r

partial def nameStr : Name → String
  | .anonymous => ""
  | .str .anonymous s => s
  | .str p s => nameStr p ++ "." ++ s
  | .num p _ => nameStr p ++ ".#"
partial def joinN : List Name → String
  | [] => ""
  | a :: r => nameStr a ++ " " ++ joinN r

def sevOf (m : Message) : String := match m.severity with | .error => "error" | .warning => "warning" | .information => "info"
partial def msgStrs : List Message → IO (Array Json)
  | [] => pure #[]
  | m :: r => do
    let t ← m.data.toString
    let rest ← msgStrs r
    return rest.push (Json.str (sevOf m ++ ": " ++ t))
partial def anyErr : List Message → Bool
  | [] => false
  | m :: r => match m.severity with | .error => true | _ => anyErr r
partial def anySorry : List Message → IO Bool
  | [] => pure false
  | m :: r => do
    let t ← m.data.toString
    if t == "declaration uses `sorry`" || t == "declaration uses 'sorry'" then return true
    anySorry r

/-- new constants (absent from the trusted base) reachable from `todo`, plus names of axioms that are new or denied -/
partial def walk (base env : Kernel.Environment) : List Name → List Name → List Name → List Name → (List Name × List Name)
  | [], _, new, bad => (new, bad)
  | n :: rest, seen, new, bad =>
    if memN n seen then walk base env rest seen new bad else
    let seen := n :: seen
    let denied := n == `sorryAx || n == `Lean.ofReduceBool || n == `Lean.ofReduceNat || n == `Lean.trustCompiler
    match base.find? n with
    | some _ => walk base env rest seen new (if denied then n :: bad else bad)
    | none =>
      let new := n :: new
      match env.find? n with
      | some (.axiomInfo v) => walk base env (catN (used v.type) rest) seen new (n :: bad)
      | some (.defnInfo v) => walk base env (catN (used v.type) (catN (used v.value) rest)) seen new bad
      | some (.thmInfo v) => walk base env (catN (used v.type) (catN (used v.value) rest)) seen new bad
      | some (.opaqueInfo v) => walk base env (catN (used v.type) (catN (used v.value) rest)) seen new bad
      | some (.quotInfo _) => walk base env rest seen new bad
      | some (.ctorInfo v) => walk base env (v.induct :: catN (used v.type) rest) seen new bad
      | some (.recInfo v) => walk base env (catN (used v.type) rest) seen new bad
      | some (.inductInfo v) => walk base env (catN (used v.type) (catN v.ctors rest)) seen new bad
      | none => walk base env rest seen new ((n ++ `MISSING) :: bad)

/-- re-add new constants to the trusted base environment with the kernel check on -/
partial def readd (src : Kernel.Environment) (e : Environment) (n : Name) : IO (Except String Environment) := do
  if (e.checked.get.find? n).isSome then return .ok e
  let rec deps (e : Environment) : List Name → IO (Except String Environment)
    | [] => pure (.ok e)
    | m :: r => do
      if m == n then deps e r else
      match ← readd src e m with
      | .ok e => deps e r
      | .error s => pure (.error s)
  let add (e : Environment) (d : Declaration) : IO (Except String Environment) := do
    match e.addDeclCore 0 d none true with
    | .ok e => return .ok e
    | .error ex => return .error ("kernel: " ++ (← (ex.toMessageData {}).toString))
  match src.find? n with
  | some (.thmInfo v) => match ← deps e (catN (used v.type) (used v.value)) with
    | .ok e => add e (.thmDecl v)
    | .error s => return .error s
  | some (.defnInfo v) => match ← deps e (catN (used v.type) (used v.value)) with
    | .ok e => add e (.defnDecl v)
    | .error s => return .error s
  | some (.opaqueInfo v) => match ← deps e (catN (used v.type) (used v.value)) with
    | .ok e => add e (.opaqueDecl v)
    | .error s => return .error s
  | some _ => return .error ("kind: " ++ nameStr n)
  | none => return .error ("missing: " ++ nameStr n)

def runSrc (env : Environment) (src : String) : IO Command.State := do
  let ictx : Parser.InputContext := { inputString := src, fileName := "<input>", fileMap := src.toFileMap, endPos := src.rawEndPos, endPos_valid := by simp }
  let opts : Options := Options.empty.setBool `Elab.async false
  let s ← Lean.Elab.IO.processCommands ictx {} (Command.mkState env {} opts)
  return s.commandState

def indented (proof : String) : String := "  " ++ String.intercalate "\n  " (proof.splitOn "\n")

def answer (nonce reason detail : String) (ms : Nat) : Json :=
  Json.mkObj [("nonce", Json.str nonce), ("reason", Json.str reason), ("detail", Json.str detail), ("ms", Json.num (ms : Int))]

partial def firstErr : List Message → IO String
  | [] => pure ""
  | m :: r => match m.severity with | .error => m.data.toString | _ => firstErr r

def verdict (base : Environment) (pre stmt proof : String) (name : Name) : IO (String × String) := do
  let s1 ← runSrc base pre
  if anyErr s1.messages.toList then return ("preamble", ← firstErr s1.messages.toList)
  let env1 := s1.env
  let s2 ← runSrc env1 (stmt ++ " := sorry")
  let name := match s2.env.checked.get.find? name with
    | some _ => name
    | none => mkPrivateName s2.env name
  match s2.env.checked.get.find? name with
  | none => return ("statement", ← firstErr s2.messages.toList)
  | some tgt =>
  let s3 ← runSrc env1 (stmt ++ " := by\n" ++ indented proof)
  let ml := s3.messages.toList
  if anyErr ml then return ("error", ← firstErr ml)
  if ← anySorry ml then return ("sorry", "")
  let k1 := env1.checked.get
  let k3 := s3.env.checked.get
  match k3.find? name with
  | some (.thmInfo v) => if !(v.type == tgt.type && v.levelParams == tgt.levelParams) then return ("type", "")
  | _ => return ("type", "not a theorem")
  let (_, bad) := walk k1 k3 [name] [] [] []
  match bad with
  | [] => pure ()
  | _ => return ("axiom", joinN bad)
  match ← readd k3 env1 name with
    | .ok e => match e.checked.get.find? name with
      | some (.thmInfo v) => if v.type == tgt.type then return ("ok", "") else return ("type", "")
      | _ => return ("kernel", "missing")
    | .error s => return ("kernel", s)

def g (j : Json) (k : String) : String := match j.getObjVal? k with
  | .ok (.str s) => s
  | _ => ""

partial def mkName (l : List String) (n : Name) : Name := match l with
  | [] => n
  | a :: r => mkName r (.str n a)

partial def loop (base : Environment) (h out : IO.FS.Stream) : IO Unit := do
  let line ← h.getLine
  if line.isEmpty then return
  match Json.parse line with
  | .ok j =>
    let t0 ← IO.monoMsNow
    let (reason, detail) ← try verdict base (g j "preamble") (g j "statement") (g j "proof") (.str .anonymous (g j "name"))
      catch e => pure ("error", e.toString)
    let t1 ← IO.monoMsNow
    out.putStrLn (Json.compress (answer (g j "nonce") reason detail (t1 - t0)))
  | .error e => out.putStrLn e
  out.flush
  loop base h out

run_cmd do
  let out := IO.FS.Stream.ofHandle (← IO.FS.Handle.mk "/dev/stdout" .write)
  let inp := IO.FS.Stream.ofHandle (← IO.FS.Handle.mk "/dev/stdin" .read)
  let lean := (← IO.getEnv "BASELEAN").isSome
  let hdr := if lean then "import Std
import Lean
" else "import Std
"
  let ictx : Parser.InputContext := { inputString := hdr, fileName := "<hdr>", fileMap := hdr.toFileMap, endPos := hdr.rawEndPos, endPos_valid := by simp }
  let (stx, _, msgs) ← Parser.parseHeader ictx
  let (base, _) ← Lean.Elab.processHeader stx {} msgs ictx
  out.putStrLn (Json.compress (Json.mkObj [("ready", Json.str Lean.versionString)]))
  out.flush
  loop base inp out
