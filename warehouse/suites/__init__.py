"""Great Expectations suites as code: what must hold of a manifest, of a slide's cells and of a night."""
