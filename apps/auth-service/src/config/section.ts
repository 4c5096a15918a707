import { type Static, type TObject, type TProperties, Type } from '@sinclair/typebox';

type Pascal<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Lowercase<Head>>}${Pascal<Tail>}`
  : Capitalize<Lowercase<Name>>;
type Camel<Name extends string> = Uncapitalize<Pascal<Name>>;

/** Settings as the code reads them: `HASH_MAX_WAIT_MS` is `hashMaxWaitMs`. */
export type Camelized<Variables extends TProperties> = {
  [Name in keyof Static<TObject<Variables>> as Camel<Name & string>]: Static<TObject<Variables>>[Name];
};

/** What a section may look at beside its own variables. */
export type Context = {
  production: boolean;
  /** URL at which clients reach the service, without a slash at its end. */
  publicUrl: string;
  /** URL of the pages for people, without a slash at its end. */
  appUrl: string;
  /** Says what is wrong with a value, beyond what the schema says. */
  complain(complaint: string): void;
};

/** The settings of a capability. */
export type Section<Variables extends TProperties = TProperties, Settings = unknown> = {
  title: string;
  /** The environment variables with their descriptions, defaults and limits. */
  variables: Variables;
  /** Makes the settings of the values of the variables. */
  read(values: Static<TObject<Variables>>, context: Context): Settings;
};

/** The settings that a section makes. */
export type SettingsOf<S> = S extends Section<infer _, infer Settings> ? Settings : never;

/**
 * Defines a section.
 *
 * @param parse makes the settings of the values when they are not the values themselves
 */
export function section<Variables extends TProperties, Settings = Camelized<Variables>>(
  title: string,
  variables: Variables,
  parse: (values: Camelized<Variables>, context: Context) => Settings = values => values as Settings,
): Section<Variables, Settings> {
  const names = Object.keys(variables);
  return {
    title,
    variables,
    read(values, context) {
      const given = values as Record<string, unknown>;
      const own = names.filter(name => given[name] !== undefined).map(name => [camelize(name), given[name]]);
      return parse(Object.fromEntries(own), context);
    },
  };
}

function camelize(name: string): string {
  return name.toLowerCase().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** A duration in seconds. */
export const seconds = (value: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum: 1, maximum, description: `${description}, in seconds` });
