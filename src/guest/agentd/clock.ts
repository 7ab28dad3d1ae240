import { LaunchPlan, SYSCALL } from '../../protocol/launch-plan.ts';
import { launch } from './launch.ts';

const CLOCK_REALTIME = 0;
const NS_PER_SECOND = 1_000_000_000n;

/** Sets the guest's clock; what the kernel refuses stays as it is, as in the original. */
export function setClock(unixTimeNanos: number): void {
  const nanos = BigInt(unixTimeNanos);
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(nanos / NS_PER_SECOND, 0);
  time.writeBigInt64LE(nanos % NS_PER_SECOND, 8);
  const plan = new LaunchPlan();
  plan.call(0, SYSCALL.clockSettime, [CLOCK_REALTIME, plan.bytes(time)]);
  plan.call(0, SYSCALL.exitGroup, [0]);
  void launch(plan, 'ignore');
}
