SELECT v.*, p.part FROM fields AS v JOIN staging AS p ON p.slide_id = v.slide_id
