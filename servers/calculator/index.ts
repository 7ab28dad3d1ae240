export { add } from './add.ts';
export { divide } from './divide.ts';
export { evaluate } from './evaluate.ts';
export { multiply } from './multiply.ts';
export { subtract } from './subtract.ts';
