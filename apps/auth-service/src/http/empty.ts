import { type TUnsafe, Type } from '@sinclair/typebox';

/** The schema of a response without a body. */
export const empty = (description: string): TUnsafe<undefined> => Type.Unsafe<undefined>({ type: 'null', description });
