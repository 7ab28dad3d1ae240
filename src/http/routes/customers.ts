import { z } from 'zod';
import { mayActFor } from '../../core/customer-of.ts';
import { defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { pageOf, pageQuery, takePage } from '../schemas/page.ts';

const customerSchema = z.object({ customer: z.string() }).meta({ id: 'Customer' });

/** Who has a workspace. */
export function customerRoutes({ cell }: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers',
      summary: 'List the customers that the key may act for',
      scope: 'read',
      query: pageQuery,
      responses: { 200: { description: 'Sorted by id', schema: pageOf(customerSchema) } },
      handler: async ({ principal, query }) => {
        const own = (await cell.listCustomers()).filter((id) => mayActFor(principal, id));
        const { items, nextCursor } = takePage(own, query, (id) => id);
        return { body: { items: items.map((customer) => ({ customer })), nextCursor } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}',
      summary: 'Look at one customer',
      scope: 'read',
      responses: { 200: { description: 'The customer', schema: customerSchema } },
      handler: async ({ customer }) => ({ body: { customer: customer.id } }),
    }),
    defineRoute({
      method: 'PUT',
      path: '/customers/{customer}',
      summary: 'Make a customer, or find that there is one',
      description: 'A first execution makes its customer, too.',
      scope: 'execute',
      makesCustomer: true,
      responses: {
        200: { description: 'There is one already', schema: customerSchema },
        201: { description: 'It is made', schema: customerSchema },
      },
      handler: async ({ customer }) => {
        const status = (await customer.exists()) ? 200 : 201;
        await customer.workspace();
        return { status, body: { customer: customer.id } };
      },
    }),
  ];
}
