SELECT category, cells, percent, low, high FROM fact_differential WHERE diagnosis_key = $diagnosis_key ORDER BY position
