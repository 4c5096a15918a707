/** A username as it is found: ASCII letters in lower case, and no others, which no username has. */
export const foldUsername = (username: string): string => username.replace(/[A-Z]+/g, letters => letters.toLowerCase());

/** SQL: the id of the account that has the username `$name`, as {@link foldUsername} returns it. */
export const NAMED = `(SELECT i.user_id FROM auth.identifiers i WHERE i.name = $name AND i.kind = 'username')`;
