/** For the import of a package that need not be installed: `undefined` when it is not. */
export function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  return undefined;
}
