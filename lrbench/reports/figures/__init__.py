"""The figures: functions from data to matplotlib figures."""
