SELECT basis FROM publication
