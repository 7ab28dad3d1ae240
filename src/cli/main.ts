#!/usr/bin/env node
// Checked before anything else is loaded: an older node stops at syntax it does not know, and says nothing useful.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `workcell needs node 22.18 or later and this is ${process.version}; in a checkout, \`npm run workcell -- …\` uses the right one\n`,
  );
  process.exit(2);
}
const { main } = await import('./program.ts');
process.exitCode = await main(process.argv.slice(2));
