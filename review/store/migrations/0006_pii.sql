-- Personal data: what came in before it was stripped, as hashes; what leads found in the audit; what was erased.

-- The keyed hash of a record as it came in, so that importing its file again is known as the same.
CREATE TABLE intake (
    kind         VARCHAR NOT NULL,                      -- pairs, verdicts, labels
    key          VARCHAR NOT NULL,                      -- the fact's key; its parts apart by a line feed
    content_hash VARCHAR NOT NULL,                      -- HMAC of the record before any redaction
    redactions   JSON NOT NULL,                         -- {"PERSON": 2}
    PRIMARY KEY (kind, key)
);

-- What the stripper takes out besides what it finds by itself. Words are never kept, only their keyed hashes.
CREATE TABLE pii_rule (
    rule_id  VARCHAR PRIMARY KEY,
    kind     VARCHAR NOT NULL CHECK (kind IN ('words', 'pattern')),
    size     INTEGER,                                   -- words: how many
    value    VARCHAR NOT NULL,                          -- words: the keyed hash; pattern: the expression
    made_by  VARCHAR NOT NULL,
    made_at  TIMESTAMPTZ NOT NULL
);

-- One trace read by a lead in one audit.
CREATE TABLE pii_mark (
    audit     VARCHAR NOT NULL,                         -- the audit's seed and size
    trace_id  VARCHAR NOT NULL,
    leak      BOOLEAN NOT NULL,
    kind      VARCHAR,                                  -- of the leak: PERSON, EMAIL …
    marked_by VARCHAR NOT NULL,
    marked_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (audit, trace_id)
);

-- The tombstone of what was erased: never what it was.
CREATE TABLE erasure (
    erasure_id VARCHAR PRIMARY KEY,
    kind       VARCHAR NOT NULL,                        -- of the data: PERSON, EMAIL …
    value      VARCHAR NOT NULL,                        -- its keyed hash
    places     JSON NOT NULL,                           -- {"trace": 2, "pair": 1, "adversarial": 1, "cache": 3}
    rows       VARCHAR[] NOT NULL,                      -- keyed hashes of the ids of the rows it stood in
    erased_by  VARCHAR NOT NULL,
    erased_at  TIMESTAMPTZ NOT NULL,
    compacted  BOOLEAN NOT NULL DEFAULT false           -- the file was written anew since: no free block holds it
);
