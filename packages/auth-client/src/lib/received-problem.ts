import { Problem, ProblemItem } from '@latchkey/user-schema';
import { type TArray, type TObject, type TOptional, type TSchema, Type } from '@sinclair/typebox';

type ReceivedMembers = Omit<typeof Problem.properties, 'errors'> & { errors: TOptional<TArray<TSchema>> };

/** A problem as received: services of the version before give most faults no `reason`. */
export const ReceivedProblem: TObject<ReceivedMembers> = Type.Object({
  ...Problem.properties,
  errors: Type.Optional(Type.Array(Type.Partial(ProblemItem))),
});
