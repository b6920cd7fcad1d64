SET TimeZone = 'UTC';
SET lock_configuration = true;
