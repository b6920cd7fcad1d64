SELECT v.*, p.part FROM cell_counts AS v JOIN staging AS p ON p.slide_id = v.slide_id
