/**
 * Lines that only the holder of a key can read, and that are good in one place only.
 *
 * What it defends: what programs did, against whoever gets at the disk or a backup of it, and the order of events, against
 * whoever may write there. A line is encrypted with AES-256-GCM under a key of its session alone, derived by HKDF from the
 * configured one; customer, session and sequence number are authenticated with it, so it can neither be changed nor moved, in
 * its log or to another. Once a log has such a line, no other kind follows. What nobody can tell from a log alone is
 * that whole lines were cut off its end, or that all of it was replaced by an older copy.
 */
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import { encodeJsonLine } from '../util/json-lines.ts';
import { decodeEvent } from './events.ts';
import type { LineCodec } from './line-codec.ts';
import { isSealed, type Sealed, Sealing, type SessionKeys } from './sealing.ts';

/** Whose lines they are. */
export interface LineOwner {
  readonly customer: CustomerId;
  readonly session: SessionId;
}

/** What stands in the log; all else is sealed. */
interface Envelope extends Sealed {
  readonly v: 1;
  readonly seq: number;
}

/** Lines of one session. Throws `invalid_config` for a key that is none. */
export function sessionLines({ customer, session }: LineOwner, keys: SessionKeys): LineCodec {
  const purpose = `workcell log\0${customer}\0${session}`;
  const sealing = new Sealing({ purpose, what: `Session "${session}"` }, keys);
  const placeOf = (seq: number) => ['workcell log line', 1, customer, session, seq];
  return {
    encode: (event) => {
      const { seq } = event;
      const sealed = sealing.seal(event, placeOf(seq));
      return encodeJsonLine(sealed === undefined ? event : { v: 1, seq, ...sealed });
    },
    reader: (isAfterSealed = false) => {
      let mustBeSealed = isAfterSealed;
      return {
        decode: (value, subject) => {
          if (isEnvelope(value)) {
            mustBeSealed = true;
            return decodeEvent(sealing.unseal(value, placeOf(value.seq), subject), subject);
          }
          if (!mustBeSealed) return decodeEvent(value, subject);
          throw new WorkcellError(
            'storage_failed',
            `${subject} is not encrypted as those before it: somebody wrote it`,
          );
        },
      };
    },
    seals: sealing.seals,
    isSealed: isEnvelope,
  };
}

function isEnvelope(value: unknown): value is Envelope {
  const { v, seq } = (value ?? {}) as Partial<Envelope>;
  return v === 1 && Number.isInteger(seq) && isSealed(value);
}
