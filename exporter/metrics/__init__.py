"""The metrics: their table, their text, the state behind them, and the exporter's own."""
