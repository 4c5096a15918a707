import ajvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler';
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import { PROBLEM } from './problem-responses.js';
import { describeFaults, type ValidationError } from './validation-faults.js';

type BuildSerializer = ReturnType<typeof SerializerSelector>;
type Validate = ReturnType<ReturnType<BuildCompilerFromPool>>;

const buildDefaultValidator: BuildCompilerFromPool = ajvCompiler();
const buildDefaultSerializer: BuildSerializer = SerializerSelector();

// Most routes are not used for a long time: to compile their schemas takes a third of the time of a start, and memory.

/** Compiles validators as Fastify does, each when the first request needs it; their errors carry what the response says of them. */
export const buildValidator: BuildCompilerFromPool = (schemas, options) => {
  const compile = buildDefaultValidator(schemas, options);
  return route => {
    // Fastify passes where the schema is from, too, which the types do not tell.
    const { schema } = route as unknown as { schema: object };
    let validate: Validate | undefined;
    const compiled = ((data: unknown) => {
      validate ??= compile(route);
      const isValid = validate(data);
      compiled.errors = isValid ? null : (describeFaults(schema, validate.errors as ValidationError[]) as never);
      return isValid;
    }) as Validate;
    return compiled;
  };
};

/** Compiles serializers as Fastify does, each when the first response needs it, and one for all problems. */
export const buildSerializer: BuildSerializer = (schemas, options) => {
  const compile = buildDefaultSerializer(schemas, options);
  return route => {
    if (route.schema === PROBLEM) return JSON.stringify;
    let serialize: ReturnType<typeof compile> | undefined;
    return data => {
      serialize ??= compile(route);
      return serialize(data);
    };
  };
};
