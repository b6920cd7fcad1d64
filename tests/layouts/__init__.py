"""Writers of small data sets, each in exactly the layout that its authors publish, defects included."""
