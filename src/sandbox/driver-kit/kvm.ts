import { access, constants, readFile } from 'node:fs/promises';
import { errnoOf } from '../../util/errno.ts';
import type { DriverProblem } from '../driver.ts';

/** Why guests cannot have hardware virtualisation here. The device alone proves nothing: it exists on machines whose CPU cannot run a guest. */
export async function kvmProblems(): Promise<DriverProblem[]> {
  return [...(await cpuProblems()), ...(await deviceProblems())];
}

/** Whether guests can have hardware virtualisation. */
export async function hasKvm(): Promise<boolean> {
  return (await kvmProblems()).length === 0;
}

async function cpuProblems(): Promise<DriverProblem[]> {
  // ARM's say nothing of it there.
  if (process.arch !== 'x64') return [];
  const cpu = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  if (/^flags\s*:.*\b(vmx|svm)\b/m.test(cpu)) return [];
  const fix =
    'Switch it on in the firmware, or nested virtualisation where this machine is itself virtual; sandbox.driver: qemu does without';
  return [{ what: 'This CPU offers no hardware virtualisation (neither vmx nor svm)', fix }];
}

async function deviceProblems(): Promise<DriverProblem[]> {
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
    return [];
  } catch (error) {
    if (errnoOf(error) === 'ENOENT')
      return [{ what: 'There is no /dev/kvm', fix: 'Load the module kvm_intel or kvm_amd' }];
    return [{ what: '/dev/kvm cannot be opened for reading and writing', fix: 'Add the user to the group kvm' }];
  }
}
