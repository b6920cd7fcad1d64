SELECT patient_id, status, diagnosis, probability, reasons, slides, total_cells, blast_percent, blast_low, blast_high, me_ratio
FROM patient_diagnoses ORDER BY patient_id
