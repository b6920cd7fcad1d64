INSERT INTO publication VALUES ($basis)
