import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { Type } from '@sinclair/typebox';
import { uuidv7 } from 'uuidv7';
import { NoteNotFoundError } from './errors.js';
import { deleteNote, insertNote, listNotes, Note } from './stored-notes.js';

// PostgreSQL's text cannot hold U+0000, and lone surrogates have no UTF-8 form.
const Draft = Type.Object(
  { text: Type.String({ minLength: 1, maxLength: 4000, pattern: '^[^\\0\\p{Surrogate}]*$' }) },
  { additionalProperties: false },
);
// Not the format `uuid`: that also takes URNs, which PostgreSQL does not.
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
const Page = Type.Object(
  {
    before: Type.Optional(Type.String({ pattern: UUID, description: 'Id of the last note of the page before' })),
  },
  { additionalProperties: false },
);
const NoteId = Type.Object({ id: Type.String({ pattern: UUID }) });

/** One's own notes; whose they are, the access token says. */
export const notesRoutes: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', app.authenticate);

  const create = { body: Draft, response: { 201: Note, ...problemResponses() } };
  app.post('/notes', { schema: create }, async (request, reply) => {
    const { text } = request.body;
    reply.status(201);
    return insertNote(app.pg, { id: uuidv7(), ownerId: request.user.id, text });
  });

  const list = {
    querystring: Page,
    response: { 200: Type.Object({ notes: Type.Array(Note) }), ...problemResponses() },
  };
  app.get('/notes', { schema: list }, async request => {
    return { notes: await listNotes(app.pg, request.user.id, request.query.before) };
  });

  const remove = { params: NoteId, response: { 204: Type.Null(), ...problemResponses(NoteNotFoundError) } };
  app.delete('/notes/:id', { schema: remove }, async (request, reply) => {
    if (!(await deleteNote(app.pg, request.user.id, request.params.id))) throw new NoteNotFoundError();
    return reply.status(204).send(null);
  });
};
