-- Up Migration
CREATE TABLE notes.notes (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL,
  text text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Ids are UUIDv7: newest last.
CREATE INDEX notes_by_owner ON notes.notes (owner_id, id);

-- Down Migration
DROP TABLE notes.notes;
