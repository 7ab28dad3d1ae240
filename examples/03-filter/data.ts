import { readFile } from 'node:fs/promises';

/** A data file beside the checkout: questions that people ask, each with the tool that answers it. */
const BESIDE_THE_CHECKOUT = new URL('../../../shared/data/tool-retrieval/metatool/all_clean_data.csv', import.meta.url);
const ROWS = 20_614;
const TOOLS = 199;

export interface Data {
  /** Where it comes from, for people. */
  readonly origin: string;
  /** CSV with the columns Query and Tool. */
  readonly content: Buffer;
}

/** The named file; else the one beside the checkout; else made-up rows, the same ones every time. */
export async function readData(path: string | undefined): Promise<Data> {
  if (path !== undefined) return { origin: `read from ${path}`, content: await readFile(path) };
  try {
    return { origin: 'real questions from beside the checkout', content: await readFile(BESIDE_THE_CHECKOUT) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { origin: 'made up here, because there is no data file beside the checkout', content: makeUpData() };
  }
}

/** As many rows as the real file has and about as many bytes; some fields hold commas, quotes and line ends. */
function makeUpData(): Buffer {
  const rows = Array.from({ length: ROWS }, (_, index) => {
    // Squaring a uniform number makes low ones frequent, as a few tools are asked for far more than the others.
    const share = ((index * 7_919) % ROWS) / ROWS;
    const tool = `Tool${String(Math.floor(share ** 2 * TOOLS)).padStart(3, '0')}`;
    const question = `Which of the ${index} offers that I was given today is the best one for a family like mine, and why so?`;
    return `"${question}${ENDINGS[index % ENDINGS.length]}",${tool}\n`;
  });
  return Buffer.from(`Query,Tool\n${rows.join('')}`);
}

const ENDINGS = ['', ' Be brief, please', ' I mean ""best, and cheap""', '\nAnswer in one line'];
