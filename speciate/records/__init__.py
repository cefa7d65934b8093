"""Every record that goes to disk or to `--json`: one frozen model each, with a schema name that is written with it."""

from speciate.records.base import Document, Outcome, Record
from speciate.records.cards import AdapterCard, Card, Identity, Kinship, Parent, UnmeasuredCard
from speciate.records.comparison import Arm, Comparison, Contrast, CurvePoint, Flip, RecipeDifference
from speciate.records.documents import DataManifest, Findings, RunRecord
from speciate.records.evaluation import EvalRecord, ModelScores, PassAtK, Score
from speciate.records.figures import (
    Baseline,
    Contamination,
    Drift,
    Estimate,
    FamilyScore,
    Forgetting,
    GateResult,
    Intact,
    Nats,
    Spread,
    Trouble,
)
from speciate.records.registry import Branch, Fault, Gained, Kin, Listed, Lost, Phylogeny, Verification
from speciate.records.rows import ROLES, EvalRow, ItemDrift, Role, TextLoss
from speciate.records.starts import RunStart

__all__ = [
    "ROLES",
    "AdapterCard",
    "Arm",
    "Baseline",
    "Branch",
    "Card",
    "Comparison",
    "Contamination",
    "Contrast",
    "CurvePoint",
    "DataManifest",
    "Document",
    "Drift",
    "Estimate",
    "EvalRecord",
    "EvalRow",
    "FamilyScore",
    "Fault",
    "Findings",
    "Flip",
    "Forgetting",
    "Gained",
    "GateResult",
    "Identity",
    "Intact",
    "ItemDrift",
    "Kin",
    "Kinship",
    "Listed",
    "Lost",
    "ModelScores",
    "Nats",
    "Outcome",
    "Parent",
    "PassAtK",
    "Phylogeny",
    "RecipeDifference",
    "Record",
    "Role",
    "RunRecord",
    "RunStart",
    "Score",
    "Spread",
    "TextLoss",
    "Trouble",
    "UnmeasuredCard",
    "Verification",
]
