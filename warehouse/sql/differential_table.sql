SELECT patient_id, category, cells, percent, low, high FROM differentials ORDER BY patient_id, position
