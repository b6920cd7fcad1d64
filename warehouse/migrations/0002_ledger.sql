-- What happened, in the order in which it happened. The ledger is the truth about a slide's state.

CREATE TABLE dim_run (
    run_id VARCHAR PRIMARY KEY,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    state VARCHAR NOT NULL CHECK (state IN ('running', 'done', 'done_with_quarantine', 'failed', 'crashed')),
    "trigger" VARCHAR NOT NULL,
    code_version VARCHAR NOT NULL,
    settings VARCHAR,
    discovered INTEGER,
    done INTEGER,
    quarantined INTEGER,
    deferred INTEGER
);
COMMENT ON TABLE dim_run IS 'One row a run: a night, a run by hand, a retry.';
COMMENT ON COLUMN dim_run.run_id IS 'Identifier of the run.';
COMMENT ON COLUMN dim_run.started_at IS 'When the run started (UTC).';
COMMENT ON COLUMN dim_run.finished_at IS 'When the run ended (UTC); NULL while it runs.';
COMMENT ON COLUMN dim_run.state IS 'running, done, done_with_quarantine, failed, or crashed (its process died).';
COMMENT ON COLUMN dim_run."trigger" IS 'What started the run: schedule, manual, retry, ...';
COMMENT ON COLUMN dim_run.code_version IS 'Version of Marrow that ran.';
COMMENT ON COLUMN dim_run.settings IS 'Settings in force as JSON, without paths and secrets; empty in the published file.';
COMMENT ON COLUMN dim_run.discovered IS 'Slides that the run found.';
COMMENT ON COLUMN dim_run.done IS 'Slides that ended done.';
COMMENT ON COLUMN dim_run.quarantined IS 'Slides that ended in quarantine.';
COMMENT ON COLUMN dim_run.deferred IS 'Slides that were put off to a later run.';

CREATE SEQUENCE ledger_event_number;
CREATE TABLE ledger_event (
    event_number BIGINT PRIMARY KEY DEFAULT nextval('ledger_event_number'),
    run_id VARCHAR NOT NULL,
    slide_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    state VARCHAR NOT NULL CHECK (state IN (
        'discovered', 'ingested', 'surveyed', 'analysed', 'validated', 'loaded', 'done', 'quarantined', 'deferred')),
    reason VARCHAR,
    detail VARCHAR,
    entered_at TIMESTAMP NOT NULL,
    CHECK ((state IN ('quarantined', 'deferred')) = (reason IS NOT NULL))
);
COMMENT ON TABLE ledger_event IS 'Every state that a slide entered, in order; rows are only ever added.';
COMMENT ON COLUMN ledger_event.event_number IS 'Order of the events; gaps mean nothing.';
COMMENT ON COLUMN ledger_event.run_id IS 'The run.';
COMMENT ON COLUMN ledger_event.slide_id IS 'The slide, or e and a keyed hash for an inbox entry whose content was never taken.';
COMMENT ON COLUMN ledger_event.attempt IS 'How often the run has begun with this slide, from 1.';
COMMENT ON COLUMN ledger_event.state IS 'The state entered: discovered to done in order of the stages, quarantined or deferred.';
COMMENT ON COLUMN ledger_event.reason IS 'Reason code of a quarantine or deferral.';
COMMENT ON COLUMN ledger_event.detail IS 'More about the reason, free of names; empty in the published file.';
COMMENT ON COLUMN ledger_event.entered_at IS 'When the state was entered (UTC).';

CREATE TABLE quarantine_release (
    slide_id VARCHAR NOT NULL,
    released_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE quarantine_release IS 'Slides that a person let out of quarantine, to be tried again. Not published.';
COMMENT ON COLUMN quarantine_release.slide_id IS 'The slide or entry.';
COMMENT ON COLUMN quarantine_release.released_at IS 'When it was released (UTC).';

CREATE TABLE stage_time (
    run_id VARCHAR NOT NULL,
    slide_id VARCHAR,
    stage VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    seconds DOUBLE NOT NULL CHECK (seconds >= 0)
);
COMMENT ON TABLE stage_time IS 'How long a stage took, one row a stage and slide.';
COMMENT ON COLUMN stage_time.run_id IS 'The run.';
COMMENT ON COLUMN stage_time.slide_id IS 'The slide; NULL for a stage of the whole run.';
COMMENT ON COLUMN stage_time.stage IS 'discover, ingest, survey, detect and classify, validate, load, diagnose or publish; validate manifest and validate night for the run.';
COMMENT ON COLUMN stage_time.started_at IS 'When the stage began (UTC).';
COMMENT ON COLUMN stage_time.seconds IS 'Duration in seconds by the monotonic clock.';

CREATE TABLE expectation_result (
    run_id VARCHAR NOT NULL,
    gate VARCHAR NOT NULL,
    slide_id VARCHAR,
    suite VARCHAR NOT NULL,
    expectation VARCHAR NOT NULL,
    column_name VARCHAR,
    success BOOLEAN NOT NULL,
    raised BOOLEAN NOT NULL,
    unexpected_count BIGINT,
    observed VARCHAR
);
COMMENT ON TABLE expectation_result IS 'Outcome of every expectation of every validation.';
COMMENT ON COLUMN expectation_result.run_id IS 'The run.';
COMMENT ON COLUMN expectation_result.gate IS 'Where in the run: manifest, cells or night.';
COMMENT ON COLUMN expectation_result.slide_id IS 'The slide; NULL for a gate of the whole run.';
COMMENT ON COLUMN expectation_result.suite IS 'Name of the suite.';
COMMENT ON COLUMN expectation_result.expectation IS 'What was expected.';
COMMENT ON COLUMN expectation_result.column_name IS 'Column or columns that were looked at; NULL for the whole table.';
COMMENT ON COLUMN expectation_result.success IS 'Whether the expectation was met.';
COMMENT ON COLUMN expectation_result.raised IS 'Whether the check itself failed, which says nothing about the data.';
COMMENT ON COLUMN expectation_result.unexpected_count IS 'Rows that did not meet it.';
COMMENT ON COLUMN expectation_result.observed IS 'The figure that was observed; never a value of a row.';

CREATE TABLE known_file (
    fingerprint VARCHAR PRIMARY KEY,
    slide_id VARCHAR NOT NULL,
    seen_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE known_file IS 'Files whose content is known, so that an unchanged inbox is not hashed again. Not published.';
COMMENT ON COLUMN known_file.fingerprint IS 'Keyed hash of the file''s name, size and time of change.';
COMMENT ON COLUMN known_file.slide_id IS 'The slide that the file holds.';
COMMENT ON COLUMN known_file.seen_at IS 'When the content was hashed (UTC).';
