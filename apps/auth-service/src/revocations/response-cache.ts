/** Keeps the latest responses, which several callers request, up to a number of bytes. */
export type ResponseCache = {
  /** Returns the response of that name; makes it when it is not kept. */
  get(name: string, make: () => Buffer): Buffer;
  /** How many bytes are kept. */
  size(): number;
};

export function createResponseCache(maxBytes: number): ResponseCache {
  const responses = new Map<string, Buffer>();
  let bytes = 0;

  return {
    get(name, make) {
      const known = responses.get(name);
      if (known) return known;
      const response = make();
      if (response.length > maxBytes) return response;
      responses.set(name, response);
      bytes += response.length;
      for (const [oldest, { length }] of responses) {
        if (bytes <= maxBytes) break;
        responses.delete(oldest);
        bytes -= length;
      }
      return response;
    },
    size: () => bytes,
  };
}
