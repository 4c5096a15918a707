import { parse } from 'libpg-query';
import { PLACES } from './places.js';

type Node = Record<string, unknown>;

const CHANGES = ['InsertStmt', 'UpdateStmt', 'DeleteStmt'] as const;
// What means nothing, or something else, on another node.
const OF_ONE_NODE = /\b(ctid|xmin|xmax|pg_current_xact_id|txid_current|pg_snapshot_\w+|pg_notify|nextval|currval)\b/;
// An interval is added to a time, or subtracted, in the time zone of the connection.
const INTERVALS = ['interval', 'make_interval'];

/**
 * Finds in a statement what a distributed table cannot do: Citus refuses a function that is not immutable in `CASE`, `COALESCE` or
 * `RETURNING` of a change, and `INSERT … RETURNING *` of a table without an alias.
 *
 * @param isImmutable whether all functions of a name are
 */
export async function findForms(text: string, isImmutable: (name: string) => boolean) {
  const changed = new Set<string>();
  const obstacles: string[] = [];
  const ofOneNode = OF_ONE_NODE.exec(text);
  if (ofOneNode) obstacles.push(`${ofOneNode[0]} means something on one node`);

  /** Looks for functions that are not immutable in an expression. */
  const volatile = (node: unknown): string[] =>
    nodesOf(node).flatMap(([kind, value]) => {
      if (kind === 'SQLValueFunction') return ['the time of SQL'];
      const name = kind === 'FuncCall' ? nameOf(value['funcname']) : undefined;
      if (name !== undefined) return isImmutable(name) || INTERVALS.includes(name) ? [] : [name];
      if (kind !== 'A_Expr' || !['+', '-'].includes(nameOf(value['name']) ?? '')) return [];
      const operands = nodesOf([value['lexpr'], value['rexpr']]).map(([of, { funcname, names }]) =>
        of === 'FuncCall' ? nameOf(funcname) : of === 'typeName' ? nameOf(names) : undefined,
      );
      return operands.some(operand => INTERVALS.includes(operand ?? '')) ? ['an interval'] : [];
    });

  const { stmts = [] } = await parse(text);
  for (const [kind, change] of nodesOf(stmts)) {
    if (!CHANGES.includes(kind as (typeof CHANGES)[number])) continue;
    const { relname, schemaname, alias } = change['relation'] as { relname: string; schemaname?: string; alias?: Node };
    if (schemaname !== 'auth' || !(relname in PLACES)) continue;
    changed.add(relname);
    // What is inside its WITH is looked at by itself.
    const { withClause: _, ...own } = change;
    const returned = volatile(change['returningClause'] ?? change['returningList']);
    if (returned.length > 0) obstacles.push(`${relname}: ${returned[0]} in RETURNING`);
    for (const [at, choice] of nodesOf(own)) {
      if (at !== 'CaseExpr' && at !== 'CoalesceExpr') continue;
      const [found] = volatile(choice);
      if (found !== undefined) obstacles.push(`${relname}: ${found} in ${at}`);
    }
    const returnsAll = nodesOf(change['returningClause'] ?? change['returningList']).some(([at]) => at === 'A_Star');
    if (kind === 'InsertStmt' && returnsAll && !alias) obstacles.push(`${relname}: RETURNING * without an alias`);
  }
  return { changed, obstacles };
}

/** All nodes of a tree, by their kinds. */
function nodesOf(tree: unknown): [kind: string, value: Node][] {
  if (Array.isArray(tree)) return tree.flatMap(nodesOf);
  if (typeof tree !== 'object' || tree === null) return [];
  return Object.entries(tree).flatMap(([kind, value]) => [
    ...(typeof value === 'object' && value !== null && !Array.isArray(value) ? [[kind, value] as [string, Node]] : []),
    ...nodesOf(value),
  ]);
}

/** The last part of a name that may have a schema. */
function nameOf(parts: unknown): string | undefined {
  const last = Array.isArray(parts) ? (parts.at(-1) as { String?: { sval?: string } } | undefined) : undefined;
  return last?.String?.sval;
}
