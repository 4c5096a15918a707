// biome-ignore lint/suspicious/noExplicitAny: a logger gives a serializer whatever was logged
type Serializers = Record<string, (value: any) => any>;

/**
 * Makes the serializers of a logger unable to throw. A logger does not catch their errors, and most lines are logged
 * outside of any handler, where an error ends the process. A value that cannot be serialized is replaced by a text.
 */
export function infallible(serializers: Serializers): Serializers {
  const guarded = Object.entries(serializers).map(([name, serialize]) => {
    const attempt = (value: unknown) => {
      try {
        return serialize(value);
      } catch {
        return 'cannot be serialized';
      }
    };
    return [name, attempt];
  });
  return Object.fromEntries(guarded);
}
