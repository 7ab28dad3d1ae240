// Loaded before a program, this makes `@xenova/transformers` as absent as an installation without it:
//   node --import test/support/without-transformers.ts …
import { registerHooks } from 'node:module';

registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === '@xenova/transformers' ? '@xenova/not-installed' : specifier, context),
});
