"""Placeholder while the audit is being written."""
import pandas as pd
COLUMNS = ("trial", "check", "verdict", "item", "printed", "computed", "lower", "upper", "arithmetic", "source")
def audit(record): return []
def findings_frame(record, findings): return pd.DataFrame(columns=list(COLUMNS))
