import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ToolCatalog } from '../../src/catalog/tool-catalog.ts';
import type { ListedTool, ServerListing } from '../../src/catalog/write-server.ts';
import { pythonPackage } from '../../src/core/python-package.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CHECKER = fileURLToPath(new URL('check-python-wrappers.py', import.meta.url));

/** The modules of tools, as programs import them: in `servers/` of a folder of its own, with `package.json` and runtimes. */
export class GeneratedTools implements AsyncDisposable {
  readonly #folder: TempFolder;

  private constructor(folder: TempFolder) {
    this.#folder = folder;
  }

  static async write(listings: readonly ServerListing[]): Promise<GeneratedTools> {
    const folder = await tempFolder();
    const servers = join(folder.path, 'servers');
    const catalog = await ToolCatalog.open({ servers });
    for (const listing of listings) await catalog.writeServer(listing);
    for (const name of await readdir(servers)) await rename(join(servers, name), join(servers, pythonPackage(name)));
    await mkdir(servers, { recursive: true });
    await copyFile(join(ROOT, 'servers/runtime.ts'), join(servers, 'runtime.ts'));
    await writeFile(join(servers, 'runtime.py'), 'def call_tool(*call):\n    return call\n');
    await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }');
    return new GeneratedTools(folder);
  }

  /** Puts a file beside `servers/`. */
  async put(name: string, text: string): Promise<void> {
    await writeFile(join(this.#folder.path, name), text);
  }

  /** What the compiler of TypeScript says of everything, under the strict settings of this project. */
  async typeErrors(): Promise<string[]> {
    const compilerOptions = { types: ['node'], typeRoots: [join(ROOT, 'node_modules/@types')], skipLibCheck: true };
    const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: ['.'] };
    await this.put('tsconfig.json', JSON.stringify(config));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const args = [tsc, '--noEmit', '--pretty', 'false', '-p', join(this.#folder.path, 'tsconfig.json')];
    const { stdout, status } = spawnSync(process.execPath, args, {
      cwd: this.#folder.path,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const errors = stdout.split('\n').filter((line) => line !== '');
    return status === 0 || errors.length > 0 ? errors : [`tsc ended with ${status}`];
  }

  /** What is wrong with the Python modules; `check-python-wrappers.py` says what is looked at. */
  pythonProblems(): readonly string[] {
    const { stdout, stderr, status } = this.#python([CHECKER, this.#folder.path]);
    return status === 0 ? (JSON.parse(stdout) as readonly string[]) : [stderr];
  }

  /** What a Python program prints that can import `servers`; its traceback when it fails. */
  runPython(program: string): string {
    const { stdout, stderr } = this.#python(['-c', program]);
    return stdout + stderr;
  }

  #python(args: readonly string[]): { stdout: string; stderr: string; status: number | null } {
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
    return spawnSync('python3', args, { cwd: this.#folder.path, env, encoding: 'utf8', maxBuffer: 2 ** 28 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

export function listed(
  tool: string,
  inputSchema: ListedTool['inputSchema'],
  more: Partial<ListedTool> = {},
): ListedTool {
  return { tool, description: '', inputSchema, ...more };
}
