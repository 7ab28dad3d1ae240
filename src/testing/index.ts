export { type DriverExpectations, describeDriver } from './describe-driver.ts';
export { type Fault, FaultyDriver } from './faulty-driver.ts';
