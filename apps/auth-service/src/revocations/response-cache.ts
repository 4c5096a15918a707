/** Keeps answers that several callers ask for, the latest of them, up to a number of bytes. */
export type AnswerCache = {
  /** The answer of that name, made when it is not there. */
  get(name: string, make: () => Buffer): Buffer;
  /** How many bytes are kept. */
  size(): number;
};

export function createAnswerCache(maxBytes: number): AnswerCache {
  const answers = new Map<string, Buffer>();
  let bytes = 0;

  return {
    get(name, make) {
      const known = answers.get(name);
      if (known) return known;
      const answer = make();
      if (answer.length > maxBytes) return answer;
      answers.set(name, answer);
      bytes += answer.length;
      for (const [oldest, { length }] of answers) {
        if (bytes <= maxBytes) break;
        answers.delete(oldest);
        bytes -= length;
      }
      return answer;
    },
    size: () => bytes,
  };
}
