-- The permanent adversarial set: entries, what was said about them since, and their erasable texts.
-- Entries and events share one numbering (`seq`, from 1 without a gap) and one hash chain; see domain/chain.py.

-- A failure is a pair, a side and a category; the row is also its first report.
CREATE TABLE adversarial_entry (
    seq          INTEGER PRIMARY KEY,
    entry_id     VARCHAR NOT NULL UNIQUE,
    report_id    VARCHAR NOT NULL UNIQUE,            -- made by the reporter's client: sending twice stores once
    pair_id      VARCHAR NOT NULL,
    prompt_id    VARCHAR NOT NULL,
    task         VARCHAR,
    failed       VARCHAR NOT NULL CHECK (failed IN ('old', 'new')),
    model        VARCHAR,                            -- of the failing side
    category     VARCHAR NOT NULL,
    source       VARCHAR NOT NULL CHECK (source IN ('label', 'flag_page', 'api')),
    round_id     VARCHAR,
    actor        VARCHAR NOT NULL,
    acted_at     TIMESTAMPTZ NOT NULL,
    text_digest  VARCHAR,
    previous     VARCHAR NOT NULL,
    digest       VARCHAR NOT NULL,
    UNIQUE (pair_id, failed, category)
);

CREATE TABLE adversarial_event (
    seq          INTEGER PRIMARY KEY,
    entry_id     VARCHAR NOT NULL REFERENCES adversarial_entry (entry_id),
    kind         VARCHAR NOT NULL CHECK (kind IN ('report', 'confirmation', 'correction', 'erasure')),
    report_id    VARCHAR UNIQUE,                     -- of a further report
    source       VARCHAR CHECK (source IN ('label', 'flag_page', 'api')),
    round_id     VARCHAR,
    category     VARCHAR,                            -- a correction's new category
    changes_pass BOOLEAN,                            -- a correction's text says anew what a pass is
    reason       VARCHAR,                            -- of an erasure
    actor        VARCHAR NOT NULL,
    acted_at     TIMESTAMPTZ NOT NULL,
    text_digest  VARCHAR,
    previous     VARCHAR NOT NULL,
    digest       VARCHAR NOT NULL
);

-- Conversation, failing output, expected behaviour, comments, ticket: canonical JSON, and the salt of its digest.
CREATE TABLE adversarial_text (
    seq      INTEGER PRIMARY KEY,
    entry_id VARCHAR NOT NULL REFERENCES adversarial_entry (entry_id),
    salt     BLOB NOT NULL,
    content  VARCHAR NOT NULL
);

CREATE TRIGGER adversarial_entry_keeps_on_delete AFTER DELETE ON adversarial_entry FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the adversarial set is append-only: DELETE refused');
CREATE TRIGGER adversarial_entry_keeps_on_update AFTER UPDATE ON adversarial_entry FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the adversarial set is append-only: UPDATE refused');
CREATE TRIGGER adversarial_event_keeps_on_delete AFTER DELETE ON adversarial_event FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the adversarial set is append-only: DELETE refused');
CREATE TRIGGER adversarial_event_keeps_on_update AFTER UPDATE ON adversarial_event FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the adversarial set is append-only: UPDATE refused');
CREATE TRIGGER adversarial_text_keeps_on_update AFTER UPDATE ON adversarial_text FOR EACH STATEMENT
    INSERT INTO refused SELECT error('the adversarial set is append-only: UPDATE refused');

-- A text may go, but only when an erasure of its entry, with who and why, stands in the chain already.
CREATE TRIGGER adversarial_text_keeps_on_delete AFTER DELETE ON adversarial_text FOR EACH STATEMENT
    INSERT INTO refused
    SELECT error('the text of ' || line.entry_id || ' goes only with an erasure: DELETE refused')
    FROM (
        SELECT seq, entry_id FROM adversarial_entry WHERE text_digest IS NOT NULL
        UNION ALL SELECT seq, entry_id FROM adversarial_event WHERE text_digest IS NOT NULL
    ) line
    WHERE NOT EXISTS (SELECT 1 FROM adversarial_text kept WHERE kept.seq = line.seq)
      AND NOT EXISTS (
          SELECT 1 FROM adversarial_event erasure WHERE erasure.entry_id = line.entry_id AND erasure.kind = 'erasure'
      );
