import type { Queryable } from '@latchkey/service-kit/database';
import { type Static, Type } from '@sinclair/typebox';

/** A note as its owner sees it. */
export const Note = Type.Object({
  id: Type.String({ format: 'uuid' }),
  text: Type.String(),
  createdAt: Type.String({ format: 'date-time' }),
});
export type Note = Static<typeof Note>;

const COLUMNS = `id, text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt"`;

export async function insertNote(db: Queryable, note: { id: string; ownerId: string; text: string }): Promise<Note> {
  const { rows } = await db.query<Note>(
    `INSERT INTO notes.notes (id, owner_id, text) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`,
    [note.id, note.ownerId, note.text],
  );
  return rows[0] as Note;
}

const PAGE_SIZE = 50;

/** The newest notes of an owner, a page of them, starting behind the note `before` when given. */
export async function listNotes(db: Queryable, ownerId: string, before?: string): Promise<Note[]> {
  const { rows } = await db.query<Note>(
    `SELECT ${COLUMNS} FROM notes.notes
     WHERE owner_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`,
    [ownerId, before ?? null, PAGE_SIZE],
  );
  return rows;
}

/** Counts the notes of an owner. */
export async function countNotes(db: Queryable, ownerId: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM notes.notes WHERE owner_id = $1',
    [ownerId],
  );
  return rows[0]?.count ?? 0;
}

/** Deletes a note of its owner; `false` when there is no such note. */
export async function deleteNote(db: Queryable, ownerId: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query('DELETE FROM notes.notes WHERE id = $1 AND owner_id = $2', [id, ownerId]);
  return rowCount === 1;
}
