"""Every record that goes to disk or to `--json`: one frozen model each, with a schema name that is written with it."""

from speciate.records.base import Document, Outcome, Record
from speciate.records.comparison import Arm, Comparison, Contrast, CurvePoint, Flip, RecipeDifference
from speciate.records.documents import AdapterCard, DataManifest, Findings, RunRecord
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
from speciate.records.rows import ROLES, EvalRow, ItemDrift, Role, TextLoss

__all__ = [
    "ROLES",
    "AdapterCard",
    "Arm",
    "Baseline",
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
    "Findings",
    "Flip",
    "Forgetting",
    "GateResult",
    "Intact",
    "ItemDrift",
    "ModelScores",
    "Nats",
    "Outcome",
    "PassAtK",
    "RecipeDifference",
    "Record",
    "Role",
    "RunRecord",
    "Score",
    "Spread",
    "TextLoss",
    "Trouble",
]
