import type { Language } from '../../src/core/execution.ts';

/** Rounds that a program makes, and increments of the counter with keys in each. */
export const ROUNDS = 4;
export const KEYED_PER_ROUND = 3;

/** What a program leaves in a file of round `round`. */
export function fileText(counter: string, round: number): string {
  return `${counter} ${round} `.repeat(200);
}

/**
 * A program that counts, writes files and sets checkpoints. What it has done it says in lines of JSON on its standard output. Some
 * of its calls are equal, some are made at the same time; those of the server that knows no keys it makes again only when they
 * have not taken effect.
 */
export function programOf(counter: string, language: Language): string {
  return (language === 'python' ? PYTHON : TYPESCRIPT)
    .replaceAll('COUNTER', counter)
    .replaceAll('ROUNDS', String(ROUNDS));
}

const TYPESCRIPT = `
import { increment } from 'servers/keyed';
import { increment as incrementPlain, read } from 'servers/plain';
import { checkpoint, ToolError } from 'servers/runtime';
import { open, rename } from 'node:fs/promises';

const counter = 'COUNTER';

async function once(mark: string): Promise<void> {
  for (;;) {
    try {
      return void (await incrementPlain({ counter, mark }));
    } catch (error) {
      if (!(error instanceof ToolError) || error.code !== 'outcome_unknown') throw error;
    }
    const { marks } = await read({ counter }) as { marks: string[] };
    if (marks.includes(mark)) return;
  }
}

async function write(name: string, text: string): Promise<void> {
  const file = await open(name + '.new', 'w');
  await file.writeFile(text);
  await file.sync();
  await file.close();
  await rename(name + '.new', name);
}

for (let round = 0; round < ROUNDS; round++) {
  const chain = increment({ counter, mark: 'a' + round }).then(() => increment({ counter }));
  await Promise.all([chain, increment({ counter })]);
  await once('b' + round);
  await write(counter + '-' + round, (counter + ' ' + round + ' ').repeat(200));
  console.log(JSON.stringify({ written: round }));
  await checkpoint(round, { counter, round });
  console.log(JSON.stringify({ checkpoint: round }));
}
return counter;
`;

const PYTHON = `
import json, os, threading
from servers.keyed import increment
from servers.plain import increment as increment_plain, read
from servers.runtime import ToolError, checkpoint

counter = "COUNTER"

def once(mark):
    while True:
        try:
            return increment_plain(counter=counter, mark=mark)
        except ToolError as error:
            if error.code != "outcome_unknown":
                raise
        if mark in read(counter=counter)["marks"]:
            return

def write(name, text):
    with open(name + ".new", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(name + ".new", name)

def chain(round):
    increment(counter=counter, mark="a%d" % round)
    increment(counter=counter)

for round in range(ROUNDS):
    thread = threading.Thread(target=chain, args=(round,))
    thread.start()
    increment(counter=counter)
    thread.join()
    once("b%d" % round)
    write("%s-%d" % (counter, round), ("%s %d " % (counter, round)) * 200)
    print(json.dumps({"written": round}))
    checkpoint(round, {"counter": counter, "round": round})
    print(json.dumps({"checkpoint": round}))
result = counter
`;
