import { randomInt } from 'node:crypto';

const FIRST =
  'amber brave bright calm clever cosmic crisp daring eager early fair fleet gentle glad golden happy humble jolly keen kind lively lucky mellow merry mighty misty modest nimble noble proud quick quiet rapid royal rustic sharp silent silver smooth snowy solid sunny swift tidy vivid warm wise witty'.split(
    ' ',
  );
const SECOND =
  'badger beaver bison condor crane dolphin eagle falcon ferret finch fox gecko gibbon hare heron ibex jackal kestrel koala lark lemur lynx marten mole moose newt ocelot orca otter owl panda pike puffin quail raven robin salmon seal shrew sparrow stoat swan tapir tern toad trout vole walrus weasel wren'.split(
    ' ',
  );

/** A name such as `brave-otter-4821` that `isTaken` does not know: what a sandbox is called in a login. */
export function generateSlug(isTaken: (slug: string) => boolean): string {
  for (;;) {
    const slug = `${FIRST[randomInt(FIRST.length)]}-${SECOND[randomInt(SECOND.length)]}-${randomInt(1000, 10_000)}`;
    if (!isTaken(slug)) return slug;
  }
}
